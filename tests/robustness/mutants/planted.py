"""Bugs to plant: each a mistake that could be made here, with the test that has to notice it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
COPIED = ("lmaps", "migrations", "tests")


@dataclass(frozen=True)
class Patch:
    """The text ``old``, which is in ``file`` exactly once, becomes ``new``."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Change the file below ``root``."""
        path = root / self.file
        text = path.read_text()
        assert text.count(self.old) == 1, f"not exactly once in {self.file}: {self.old}"
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Mutant:
    """A bug, the ``test`` (a node of pytest) that has to fail with it, and the ``words`` with which it does."""

    bug: str
    test: str
    words: str
    patches: tuple[Patch, ...]

    def plant(self, directory: Path) -> None:
        """Make a copy of lMaPS that has the bug."""
        for name in COPIED:
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", directory)
        for patch in self.patches:
            patch.apply(directory)


FAILPOINTS = "tests/robustness/test_failpoints.py::"

MUTANTS = [
    Mutant(
        "the database is not told to flush at each commit",
        "tests/robustness/test_power_cuts.py::test_power_cuts_under_eight_clients",
        "AssertionError",
        (
            Patch("lmaps/store/dialects/sqlite.py", '"synchronous=FULL",', '"synchronous=NORMAL",'),
            Patch("lmaps/store/dialects/sqlite.py", '!= (2, "wal")', '!= (1, "wal")'),
        ),
    ),
    Mutant(
        "an answer is sent before the commit",
        FAILPOINTS + "test_a_kill_at_each_failpoint[requests]",
        "AssertionError: ",
        (
            Patch(
                "lmaps/manager/group_commit.py",
                '            work.run(tx)\n        failpoint("batch.before_commit")',
                '            work.run(tx)\n        _settle(works)\n        failpoint("batch.before_commit")',
            ),
            Patch("lmaps/manager/group_commit.py", "        return\n    _settle(works)\n", "        return\n"),
        ),
    ),
    Mutant(
        "a changeset is committed before what it changes",
        FAILPOINTS + "test_a_kill_at_each_failpoint[requests]",
        "changesets without their changes",
        (
            Patch(
                "lmaps/store/changesets.py",
                '        failpoint("change.mid")\n',
                "        driver = self._session.driver\n"
                '        driver.execute("COMMIT")\n'
                '        driver.execute("BEGIN IMMEDIATE")\n'
                '        failpoint("change.mid")\n',
            ),
        ),
    ),
    Mutant(
        "a stop kills the tool's process group, and does not look for more",
        "tests/unit/process/test_process.py::test_stop_ends_everything_whatever_it_did_to_detach",
        "assert [",
        (
            Patch(
                "lmaps/process/process.py",
                "            self._kill_at = self.deadline = None\n            sweep_descendants(spare=self._spared)\n",
                "            self._kill_at = self.deadline = None\n            os.killpg(self.child.pid, 9)\n",
            ),
            Patch(
                "lmaps/process/process.py",
                "        if self._stopped or self.child.returncode != 0:\n            sweep_descendants(spare=self._spared)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a job is sent to its worker before it is durably running",
        FAILPOINTS + "test_no_worker_hears_of_a_job_that_is_not_durably_running",
        "has run twice",
        (
            Patch(
                "lmaps/manager/dispatcher.py",
                "                started = list(self._begin(tx, idle))\n",
                "                started = list(self._begin(tx, idle))\n"
                "                for slot, run, _ in started:\n"
                "                    self.send(slot.identity, run)\n",
            ),
            Patch(
                "lmaps/manager/dispatcher.py",
                "        self.send(slot.identity, run)\n        if job is not None:\n",
                "        if job is None:\n            self.send(slot.identity, run)\n        else:\n",
            ),
        ),
    ),
    Mutant(
        "the keys of requests are kept in memory",
        FAILPOINTS + "test_a_kill_at_each_failpoint[requests]",
        "done twice",
        (
            Patch("lmaps/store/requests.py", "_REQUEST = ", "_KEPT: dict = {}\n_REQUEST = "),
            Patch(
                "lmaps/store/requests.py",
                "        rows = self._session.rows(_REQUEST, key=key)\n"
                "        return StoredRequest(**checked(request, rows[0])) if rows else None\n",
                "        return _KEPT.get(key)\n",
            ),
            Patch(
                "lmaps/store/requests.py",
                "        self._session.insert_each(_INSERT, [row])\n",
                "        _KEPT[key] = row\n        self._session.insert_each(_INSERT, [row])\n",
            ),
        ),
    ),
    Mutant(
        "a backup opens the database's file, and drops SQLite's locks when it closes it",
        "tests/unit/store/test_store.py::test_files_are_private_and_nobody_opens_them_but_sqlite",
        "lmaps.db",
        (
            Patch(
                "lmaps/store/dialects/sqlite.py",
                '        driver.execute("VACUUM INTO ?", (str(aside),))',
                '        __import__("shutil").copyfile(connection.engine.url.database, aside)',
            ),
        ),
    ),
    Mutant(
        "a unit for Ansible whose names are open is loaded",
        "tests/unit/handlers/test_ansible_variables.py::test_a_unit_is_loaded_if_and_only_if_its_names_are_closed",
        "AssertionError",
        (Patch("lmaps/model/units/parse.py", "        yield from variable_findings(unit)\n", "        pass\n"),),
    ),
    Mutant(
        "names that a branch of anyOf lets in are not seen when a unit is loaded",
        "tests/unit/handlers/test_ansible_variables.py::test_a_unit_is_loaded_if_and_only_if_its_names_are_closed",
        "AssertionError",
        (
            Patch(
                "lmaps/model/schema/names.py",
                '- {"not", "dependencies"}',
                '- {"not", "dependencies", "anyOf"}',
            ),
        ),
    ),
    Mutant(
        "the names of variables are not checked again where they are written",
        "tests/unit/handlers/test_ansible_variables.py::"
        "test_past_the_load_a_name_is_refused_where_variables_are_written",
        "DID NOT RAISE",
        (Patch("lmaps/handlers/ansible/variables.py", "    _refuse_unusable(state, variables)\n", ""),),
    ),
    Mutant(
        "what a client sent is a template to Ansible",
        "tests/integration/handlers/test_ansible.py::test_hostile_text_arrives_exact_and_inert",
        "AssertionError",
        (
            Patch(
                "lmaps/handlers/ansible/variables.py",
                "    return ClientText(completed) if isinstance(completed, str) and given is not _ABSENT else completed\n",
                "    return completed\n",
            ),
        ),
    ),
    Mutant(
        "what a client sent is a template to the template handler",
        "tests/integration/handlers/test_client_data.py::test_a_template",
        "AssertionError",
        (
            Patch(
                "lmaps/handlers/template.py",
                "        return text.encode()\n",
                "        return environment.from_string(text).render().encode()\n",
            ),
        ),
    ),
    Mutant(
        "an export is written over the old file, without a flush",
        "tests/robustness/test_power_cuts.py::test_a_power_cut_right_after_a_file_was_written",
        "AssertionError",
        (
            Patch("lmaps/cli/documents.py", "    temporary = _temporary_name(path)\n", "    _temporary_name(path)\n"),
            Patch(
                "lmaps/cli/documents.py",
                "os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL",
                "os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC",
            ),
            Patch("lmaps/cli/documents.py", "            os.fsync(file.fileno())\n", ""),
            Patch("lmaps/cli/documents.py", "        temporary.rename(path)\n", ""),
            Patch("lmaps/cli/documents.py", "        _sync_directory(path.parent)\n", ""),
            Patch("lmaps/cli/documents.py", "            temporary.unlink()\n", "            pass\n"),
        ),
    ),
    Mutant(
        "a worker makes, and empties, a folder that the manager names",
        "tests/unit/worker/test_tasks.py::test_a_job_names_no_folder",
        "DID NOT RAISE",
        (Patch("lmaps/worker/execution.py", "        if type(self.job) is not int:\n", "        if False:\n"),),
    ),
    Mutant(
        # there are no savepoints here that could be released: a group of which one failed is run again one by one
        "what a refused request has written is committed with the rest of its group",
        "tests/robustness/test_groups.py::test_one_of_a_group_fails",
        "AssertionError",
        (
            Patch(
                "lmaps/manager/client_requests.py",
                "if tx.session.wrote or isinstance(error, StoreError):",
                "if isinstance(error, StoreError):",
            ),
        ),
    ),
    Mutant(
        "a group goes on when SQLite has ended its transaction",
        "tests/robustness/test_groups.py::test_a_disk_that_gets_full_in_one_of_a_group",
        "AssertionError",
        (
            Patch(
                "lmaps/manager/group_commit.py",
                "            work.run(tx)\n",
                "            try:\n"
                "                work.run(tx)\n"
                "            except Exception:\n"
                '                work.settle = lambda work=work: work.fail(NoSpace("the disk is full"))\n',
            ),
            Patch("lmaps/manager/group_commit.py", "import Degraded, ", "import NoSpace, Degraded, "),
            Patch(
                "lmaps/store/dialects/sqlite.py",
                "    if not driver.in_transaction:\n        raise",
                "    if False:\n        raise",
            ),
        ),
    ),
    Mutant(
        "until when a job is to be confirmed is kept in memory",
        "tests/acceptance/test_confirm.py::test_a_deadline_that_passed_while_nothing_ran_is_seen_to_at_the_start",
        "what was waited for has not come",
        (
            Patch(
                "lmaps/api/endpoints/confirm.py",
                "    timeout_s = job.confirm_within or 0\n",
                "    timeout_s = job.confirm_within or 0\n    _DEADLINES[job.id] = time.monotonic() + timeout_s\n",
            ),
            Patch(
                "lmaps/api/endpoints/confirm.py",
                "    if job.host_boot == host_boot() and job.confirm_boot_deadline is not None:\n",
                '    return _DEADLINES.get(job.id, float("inf")) - time.monotonic()\n'
                "    if job.host_boot == host_boot() and job.confirm_boot_deadline is not None:\n",
            ),
            Patch("lmaps/api/endpoints/confirm.py", "MAX_UNDOS = 3\n", "_DEADLINES: dict = {}\nMAX_UNDOS = 3\n"),
        ),
    ),
    Mutant(
        "a new change leaves the redo list as it is",
        "tests/unit/store/test_store.py::test_rollback_as_a_table",
        "AssertionError",
        (
            Patch(
                "lmaps/store/changesets.py",
                "line_end=revision, line_previous=previous)",
                "line_end=revision, line_previous=previous, redo_end=head.redo_end if head else None)",
            ),
        ),
    ),
    Mutant(
        "events are handed on with their numbers as they are",
        "tests/integration/handlers/test_events.py::test_a_job_survives_its_events[an integer]",
        "1234567",
        (
            Patch(
                "lmaps/model/schema/scrubber.py",
                "return value if self.text(shown) == shown else HIDDEN",
                "return value",
            ),
        ),
    ),
    Mutant(
        "the secrets of properties that are not evaluated are not looked for",
        "tests/robustness/test_secret_walk.py::test_every_place_is_masked",
        "unevaluatedProperties",
        (
            Patch(
                "lmaps/model/schema/drafts.py",
                'for keyword in ("additionalProperties", "unevaluatedProperties") if keyword in schema',
                'for keyword in ("additionalProperties",) if keyword in schema',
            ),
        ),
    ),
    Mutant(
        "validate answers with the documents as they are",
        "tests/robustness/test_secret_walk.py::test_every_place_is_masked",
        "validate of ",
        (Patch("lmaps/api/endpoints/instances.py", "unit.secrets.masked(row.completed)", "row.completed"),),
    ),
    Mutant(
        "today's text alone says what is secret in older documents",
        "tests/robustness/test_secret_walk.py::test_no_answer_shows_a_secret[marks go]",
        "canary",
        (
            Patch(
                "lmaps/api/documents.py",
                "return unit.secrets | older if older.any else unit.secrets",
                "return unit.secrets",
            ),
        ),
    ),
    Mutant(
        "the log has the requests",
        "tests/robustness/test_secret_walk.py::test_no_command_prints_a_secret",
        "the file log",
        (
            Patch(
                "lmaps/manager/client_requests.py",
                "                    route = find_route(self._payload)\n",
                "                    route = find_route(self._payload)\n"
                '                    log.debug("request %s", self._payload)\n',
            ),
        ),
    ),
    Mutant(
        "of overlapping secrets only the first is masked",
        "tests/unit/model/test_scrubber.py::test_nothing_of_overlapping_secrets_stays",
        "AssertionError",
        (Patch("lmaps/model/schema/scrubber.py", "if at + length <= end:", "if at < end:"),),
    ),
    Mutant(
        "a long secret is looked up as a whole only",
        "tests/unit/model/test_scrubber.py::test_a_long_secret_is_hidden_as_a_whole_and_in_pieces[1000]",
        "AssertionError",
        (Patch("lmaps/model/schema/scrubber.py", "MAX_WORD = 32", "MAX_WORD = 10**6"),),
    ),
    Mutant(
        "of names that are masked alike only the last keeps its value",
        "tests/unit/model/test_scrubber.py::test_names_that_are_masked_alike_keep_their_values",
        "AssertionError",
        (Patch("lmaps/model/schema/scrubber.py", "while masked[name] in taken:", "while False:"),),
    ),
    Mutant(
        "the error of a handler is sent as it is",
        "tests/integration/worker/test_worker.py::test_whatever_a_handler_raises_is_a_result_without_a_secret",
        "hunter2",
        (Patch("lmaps/worker/execution.py", "error.args = (scrubber.text(error.message),)", "pass"),),
    ),
    Mutant(
        "the name of a process is read as text",
        "tests/unit/process/test_process.py::test_a_process_whose_name_is_no_text_is_named_too",
        "UnicodeDecodeError",
        (Patch("lmaps/process/sweep.py", '.rpartition(b")")[2].decode()', '.decode().rpartition(")")[2]'),),
    ),
    Mutant(
        "an event is as deep as any message",
        "tests/unit/process/test_process.py::test_the_text_of_an_event",
        "an event could not be read",
        (Patch("lmaps/process/output.py", "jsonio.MAX_DEPTH - 3", "jsonio.MAX_DEPTH"),),
    ),
    Mutant(
        "the secrets of before are shown",
        "tests/integration/handlers/test_former_secrets.py::test_a_secret_that_was_replaced_is_masked_until_it_is_gone",
        "first-secret",
        (Patch("lmaps/worker/execution.py", "chain(order.former_secrets, _secrets(state))", "_secrets(state)"),),
    ),
    Mutant(
        "counts that the manager refuses are sent",
        "tests/integration/handlers/test_events.py::test_a_job_survives_its_events[counts that are none]",
        "canary",
        (
            Patch("lmaps/worker/execution.py", "{names[name]: int(count) for name, count in counts.items()}", "counts"),
            Patch("lmaps/handlers/ansible/handler.py", 'counts["ok"] += host["ok"]', 'counts["ok"] = host["ok"]'),
        ),
    ),
    Mutant(
        "a configuration that anybody may write is used when it is found",
        "tests/unit/config/test_config.py::test_a_client_passes_over_a_file_that_others_may_write",
        "AssertionError",
        (
            Patch(
                "lmaps/config/client.py",
                "        if fault is None:\n            return file\n",
                "        if fault != '':\n            return file\n",
            ),
        ),
    ),
    Mutant(
        "a backup is written through the link of somebody else",
        "tests/integration/client/test_written_files.py::test_no_command_writes_through_a_link_of_somebody_else[backup]",
        "AssertionError",
        (Patch("lmaps/cli/commands/backup.py", "path = output_path(file)", "path = Path(file).resolve()"),),
    ),
    Mutant(
        "a part of a secret is set by whoever may not see it",
        "tests/integration/api/test_refusals.py::"
        "test_a_part_of_a_secret_is_set_only_by_subjects_that_may_reveal_it[False-an item]",
        "AssertionError",
        (
            Patch(
                "lmaps/api/endpoints/instances.py",
                "if secret is not None and secret != place:",
                "if secret is not None and not secret:",
            ),
        ),
    ),
    Mutant(
        "a stranger's log beside a backup becomes its content",
        "tests/unit/store/test_backup.py::test_a_log_that_somebody_else_has_put_beside_it_is_refused[-wal]",
        "FAILED",
        (Patch("lmaps/store/backup.py", "if owner not in trusted:", "if owner is None:"),),
    ),
    Mutant(
        "a written file gets the mode that the umask leaves",
        "tests/unit/cli/test_documents_files.py::test_a_file_is_its_owners_alone_from_the_first_byte",
        "AssertionError",
        (Patch("lmaps/cli/documents.py", "os.O_CREAT | os.O_EXCL, 0o600)", "os.O_CREAT | os.O_EXCL)"),),
    ),
    Mutant(
        "a file that is gone for the moment of the check is trusted",
        "tests/unit/util/test_ownership.py::test_a_file_that_is_gone_may_come_back",
        "AssertionError",
        (Patch("lmaps/util/ownership.py", 'return "it is gone"', "return None"),),
    ),
    Mutant(
        "doctor reads a found configuration whoever wrote it",
        "tests/integration/client/test_trust.py::test_no_command_uses_what_others_have_put_where_it_is_called[policy question]",
        "AssertionError",
        (
            Patch(
                "lmaps/cli/commands/doctor.py",
                "load.load_config_file(session.config_file)",
                "load.load_config(session.config)",
            ),
        ),
    ),
    Mutant(
        "a found socket is trusted whoever listens",
        "tests/integration/client/test_trust.py::test_a_found_socket_of_somebody_else_gets_nothing",
        "AssertionError",
        (Patch("lmaps/cli/session.py", "None if named else settings.trusted_uids", "None"),),
    ),
    Mutant(
        "a mark that nothing follows is accepted",
        "tests/unit/model/test_schema_marks.py::test_a_mark_that_nothing_follows_is_refused",
        "ValueError",
        (Patch("lmaps/model/schema/secrets.py", "    yield from _unfollowed_marks(definition)\n", ""),),
    ),
    Mutant(
        "a mark below contains is not followed",
        "tests/unit/model/test_schema_marks.py::test_a_mark_below_every_keyword",
        "contains",
        (Patch("lmaps/model/schema/drafts.py", 'if "contains" in schema:', "if False:"),),
    ),
    Mutant(
        "a secret is quoted where the rule that it breaks is not the marked one",
        "tests/unit/model/test_schema_messages.py::test_no_finding_quotes_a_secret",
        "kanari-",
        (
            Patch(
                "lmaps/model/schema/messages.py",
                "    secret = secret_around(places.secrets, at) if places.secrets else None\n",
                '    secret = at if isinstance(error.schema, dict) and error.schema.get("writeOnly") else None\n',
            ),
        ),
    ),
    Mutant(
        "unique answers anybody whether a secret is in use",
        "tests/integration/api/test_refusals.py::test_unique_compares_secrets_only_for_subjects_that_may_reveal_them[False-create]",
        "rule-broken",
        (Patch("lmaps/api/changes.py", 'if not ctx.may(unit.name, "reveal"):', "if False:"),),
    ),
    Mutant(
        "refused arguments quote the documents in them",
        "tests/integration/api/test_refusals.py::test_no_argument_that_carries_documents_is_quoted",
        "AssertionError",
        (
            Patch(
                "lmaps/model/schema/messages.py",
                "return not (self._is_marked and any(map(_wants_container, wanted)))",
                "return True",
            ),
        ),
    ),
    Mutant(
        "the error of a job quotes a document that does not fit",
        "tests/unit/worker/test_tasks.py::test_apply_refuses_a_document_that_does_not_fit_whatever_the_manager_says",
        "99999 is more than",
        (
            Patch(
                "lmaps/worker/execution.py",
                "unit.schema.findings(document, quoting=False)",
                "unit.schema.findings(document)",
            ),
        ),
    ),
    Mutant(
        "unit check tries anybody's text on documents with secrets",
        "tests/integration/api/test_refusals.py::test_unit_check_answers_no_question_about_a_secret",
        "AssertionError",
        (Patch("lmaps/api/endpoints/units.py", 'if ctx.may(unit.name, "reveal"):', 'if ctx.may(unit.name, "show"):'),),
    ),
    Mutant(
        "a document that no longer fits is quoted by what today's text marks alone",
        "tests/integration/api/test_refusals.py::test_what_an_older_text_marked_is_not_quoted",
        "AssertionError",
        (
            Patch(
                "lmaps/api/unit_status.py",
                "documents.secrets_under(row.document.definition).paths(completed)",
                "frozenset()",
            ),
        ),
    ),
    Mutant(
        "documents are masked by what today's text marks alone",
        "tests/integration/api/test_public_documents.py::"
        "test_what_was_marked_when_it_was_set_stays_hidden_until_it_is_set_again",
        "AssertionError",
        (
            Patch(
                "lmaps/api/documents.py",
                "    older = _secrets_of(text)\n",
                "    older = unit.secrets\n",
            ),
        ),
    ),
    Mutant(
        "blame shows what was before a secret",
        "tests/integration/api/test_public_documents.py::test_blame_has_one_value_for_a_secret_whatever_it_consists_of",
        "AssertionError",
        (Patch("lmaps/api/endpoints/blame.py", "_public(was.public, path)", "_public(was.clear, path)"),),
    ),
    Mutant(
        "an undo answers with the documents it removed whoever asks",
        "tests/integration/api/test_answer_rights.py::test_without_the_right_show_no_answer_has_a_document",
        "AssertionError",
        (
            Patch(
                "lmaps/api/endpoint.py",
                ' or not all(ctx.may(unit, "show") for unit in ctx.units)',
                "",
            ),
        ),
    ),
    Mutant(
        "the status counts the jobs of units that the subject may not list",
        "tests/robustness/test_answer_fields.py::test_nothing_that_happens_to_a_hidden_unit_is_told[status-ok]",
        "AssertionError",
        (
            Patch(
                "lmaps/api/endpoints/system.py",
                "len(queued) if units is None else sum(job.unit in units for job in queued)",
                "len(queued)",
            ),
        ),
    ),
    Mutant(
        "a refusal names the author of the newest change whoever asks",
        "tests/robustness/test_answer_fields.py::test_every_field_is_seen_by_whom_the_oracle_says",
        "('message', 'seen-author')",
        (Patch("lmaps/api/changes.py", ' if ctx.may(unit, "show") else ""', ""),),
    ),
    Mutant(
        "a refusal quotes the stored document whoever asks",
        "tests/robustness/test_answer_fields.py::test_a_finding_about_a_stored_value_keeps_what_is_about_the_given_one",
        "AssertionError",
        (Patch("lmaps/api/acceptance.py", 'if ctx.may(unit.name, "show"):', "if True:"),),
    ),
    Mutant(
        "a dry run prints no instance as a patch where values are withheld",
        "tests/integration/api/test_rights_of_commands.py::test_a_dry_run_names_instances_without_the_right_show",
        "AssertionError",
        (Patch("lmaps/cli/diffs.py", '        yield {"op": {"+": "add"', '        _ = {"op": {"+": "add"'),),
    ),
    Mutant(
        "documents that come in are measured by today's marks alone",
        "tests/integration/api/test_public_documents.py::test_a_refusal_quotes_nothing_that_only_an_older_text_marks",
        "canary-",
        (Patch("lmaps/api/documents.py", "if text != unit.text and _secrets_of(text).any:", "if False:"),),
    ),
    Mutant(
        "job output has secrets as shells escape them",
        "tests/unit/model/test_scrubber.py::test_a_password_is_hidden_as_shells_print_it[C]",
        "AssertionError",
        (Patch("lmaps/model/schema/scrubber.py", "for special in (_IN_QUOTES, _IN_WORDS)", "for special in ()"),),
    ),
    Mutant(
        "an imported history is sealed by its own marks alone",
        "tests/integration/api/test_public_documents.py::test_a_history_of_before_the_mark_is_sealed_where_it_is_imported",
        "AssertionError",
        (
            Patch(
                "lmaps/api/endpoints/history_transfer.py",
                'texts += filter(None, [ctx.manager.units.units.get(unit["unit"])])',
                "pass",
            ),
        ),
    ),
    Mutant(
        "validate tells the ID of a guess to whoever may look",
        "tests/integration/api/test_content_ids.py::test_who_may_only_look_is_not_told_the_id_of_a_guess[None]",
        "AssertionError",
        (Patch("lmaps/api/endpoints/instances.py", "names = not unit.has_keyed_ids or", "names = True or"),),
    ),
    Mutant(
        "what is kept of a request tells whoever guesses it that he is right",
        "tests/integration/api/test_kept_answers.py::test_nobody_can_guess_a_request_from_what_is_kept_of_it",
        "AssertionError",
        (
            Patch(
                "lmaps/api/kept_answers.py",
                "blake2b(_content(ctx, request), key=key, digest_size=32).hexdigest()",
                "sha256(_content(ctx, request)).hexdigest()",
            ),
        ),
    ),
    Mutant(
        "a part of a schema may be written in another draft",
        "tests/unit/model/test_schema.py",
        "this part is in another draft than the whole schema",
        (
            Patch(
                "lmaps/model/schema/lint.py",
                "if isinstance(draft, str) and drafts.name(part)",
                "if False and drafts.name(part)",
            ),
        ),
    ),
    Mutant(
        "a request key belongs to whoever used it first",
        "tests/integration/api/test_kept_answers.py::test_a_key_that_another_subject_has_used_is_free",
        "was used for another request",
        (Patch("lmaps/api/kept_answers.py", "{ctx.subject.id}\\0{key}", "{key}"),),
    ),
    Mutant(
        "a message for people is printed as it came",
        "tests/robustness/test_hostile_output.py::test_no_command_prints_a_hidden_character[table]",
        "U+0000",
        (Patch("lmaps/cli/session.py", 'self._write_error(visible(text) + "\\n")', 'self._write_error(text + "\\n")'),),
    ),
    Mutant(
        "a cell of a table is not escaped",
        "tests/robustness/test_hostile_output.py::test_no_command_prints_a_hidden_character[table]",
        "U+0000",
        (
            Patch(
                "lmaps/util/terminal.py",
                "cells = [list(map(visible, row)) for row in rows]",
                "cells = [*map(list, rows)]",
            ),
        ),
    ),
    Mutant(
        "zero-width characters are taken for visible ones",
        "tests/unit/util/test_terminal.py::test_every_control_format_and_separator_character_is_escaped",
        "U+200B",
        (Patch("lmaps/util/terminal.py", r"\u180e\u200b-\u200d", r"\u180e\u200c-\u200d"),),
    ),
    Mutant(
        "YAML is written with bidi controls as they are",
        "tests/unit/util/test_terminal.py::test_data_is_the_same_and_hides_nothing[yaml]",
        "AssertionError",
        (Patch("lmaps/util/yamlio.py", "return visible_lines(text).removesuffix", "return text.removesuffix"),),
    ),
    Mutant(
        "JSON is written with bidi controls as they are",
        "tests/unit/util/test_terminal.py::test_data_is_the_same_and_hides_nothing[json]",
        "AssertionError",
        (Patch("lmaps/util/terminal.py", '[{_HIDDEN}]", _json_escape, text)', '[{_CONTROL}]", _json_escape, text)'),),
    ),
    Mutant(
        "new instances may have any ID",
        "tests/integration/api/test_instances.py::test_an_id_with_control_characters_is_refused_with_its_place",
        "DID NOT RAISE",
        (Patch("lmaps/model/units/unit.py", "character = forbidden_in_names(key)", "character = None"),),
    ),
    Mutant(
        "columns are aligned by counting characters",
        "tests/unit/util/test_terminal.py::test_columns_stay_in_their_places",
        "AssertionError",
        (Patch("lmaps/util/terminal.py", "return sum(map(_columns, text))", "return len(text)"),),
    ),
    Mutant(
        "a mask in a list becomes the secret of the item that stood in its place",
        "tests/unit/model/test_schema_unmasking.py::test_a_mask_becomes_the_secret_of_its_own",
        "an item removed",
        (
            Patch(
                "lmaps/model/schema/unmasking.py",
                "if any(same(new.value, old.masked) for old in lists):",
                "if lists:",
            ),
        ),
    ),
    Mutant(
        "a secret in the command line is not warned of",
        "tests/integration/api/test_secret_arguments.py::test_a_secret_on_the_command_line",
        "$.password",
        (Patch("lmaps/api/changes.py", "extra=reply.extra | _warnings(ctx)", "extra=reply.extra"),),
    ),
]
"""In the order of the list that the reliability plan has of them."""
