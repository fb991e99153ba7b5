"""Every command of ``lmaps``, with every option, on a unit with secrets; whatever it prints is searched for canaries."""

import contextlib
import io
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from lmaps.cli import app
from lmaps.cli.session import Session
from tests.daemons import RunningDaemon, until
from tests.robustness.canaries import KINDS, Canaries
from tests.robustness.secret_places import Place

TERMINAL = "terminal"
"""The form of output that a person gets who asks for none: no ``-o``."""
BY_ITSELF = {("completion",): "prints a script that knows no unit", ("keygen",): "makes keys, asks no daemon"}
"""Commands that never see a document."""


def commands() -> dict[tuple[str, ...], click.Command]:
    """Return every command of the tree by its words; the root's own flags, the original's, are ()."""

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                part = command.get_command(context, name)
                assert part is not None
                yield from below(part, (*words, name))
        else:
            yield words, command

    root = app.get_parser()
    return {(): root, **dict(below(root, ()))}


def options_of(words: tuple[str, ...], command: click.Command) -> set[tuple[tuple[str, ...], str]]:
    """Return the options of a command by their first name, without the global ones, which are tried on some commands."""
    own = [part for part in command.params if isinstance(part, click.Option) and (part.expose_value or not words)]
    shared = {"--config", "--endpoint", "--client-key", "--server-public-key", "--format", "--color", "--quiet"}
    shared |= {"--verbose", "--timeout", "--daemon", "--version", "--help"}
    return {(words, part.opts[0]) for part in own if part.opts[0] not in shared and not (words and part.hidden)}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Shell:
    """Runs commands in this process against a daemon, in one output format."""

    def __init__(self, daemon: RunningDaemon, canaries: Canaries, form: str) -> None:
        self.daemon, self.canaries, self.form = daemon, canaries, form
        self.secret: dict[str, str] = {}
        """Every canary that was sent, with the place where it is marked."""
        self.leaks: dict[str, set[str]] = {}
        self.stored: set[str] = set()
        self.revealed: set[str] = set()
        """The canaries in the documents as they were when `export` revealed them, and those that it showed."""
        self.ran: set[tuple[tuple[str, ...], str]] = set()
        """Every command that ran, with "" and with the options that it was given."""
        self.succeeded: set[tuple[str, ...]] = set()
        self.outputs = 0
        self._known = commands()
        self._files = itertools.count()

    def file(self, value: Any, suffix: str = "json") -> str:
        """Return the name of a new file with ``value``."""
        path = self.daemon.directory / f"given{next(self._files)}-{self.form}.{suffix}"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    def run(self, *args: str) -> str:
        """Run a command and search what it prints; return it."""
        words = next((args[:count] for count in (2, 1) if args[:count] in self._known), ())
        self.ran |= {(words, option) for option in ("", *self._named(words, args))}
        out, err = (_Terminal(), _Terminal()) if self.form == TERMINAL else (io.StringIO(), io.StringIO())
        session = Session(stdout=out, stderr=err)
        form = [] if self.form == TERMINAL else ["-o", self.form]
        line = ["--config", str(self.daemon.config_file), *([*args, *form] if words else [*form, *args])]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                app.start(line, session)
            except SystemExit as ended:
                code = ended.code
        if code in (0, 1):
            self.succeeded.add(words)
        text = out.getvalue() + err.getvalue()
        assert "an error in lMaPS itself" not in text, f"{args}: {text}"
        self.outputs += 1
        found = self.canaries.found_in(text)
        if "--reveal" in args:
            self.revealed |= found
        else:
            where = " ".join([*words, *sorted({part for part in args if part.startswith("-")})])
            self.note(found, f"{where} -o {self.form}: exit {code}", text)
        return out.getvalue()

    def note(self, found: set[str], where: str, text: str) -> None:
        """Note the secret canaries among those that were found."""
        for token in found & self.secret.keys():
            line = next((line for line in text.splitlines() if token in line), f"encoded {token}")
            self.leaks.setdefault(where, set()).add(f"{self.secret[token]}: {line[:300]}")

    def _named(self, words: tuple[str, ...], args: tuple[str, ...]) -> Iterator[str]:
        for part in self._known[words].params:
            if isinstance(part, click.Option) and not {*part.opts, *part.secondary_opts}.isdisjoint(args):
                yield part.opts[0]

    def document(self, place: Place, name: str) -> dict[str, Any]:
        """Return a document with new secrets, each of another kind."""
        kind = KINDS[next(self._files) % len(KINDS)]
        document = place.document(name, [self.canaries.value(kind), self.canaries.value(kind)])
        tokens = self.canaries.found_in(json.dumps(document))
        self.secret |= dict.fromkeys(tokens, str(place))
        return document


def run_all(shell: Shell, unit: str, place: Place, text: str) -> None:
    """Run every command on ``unit``, whose secret is at ``place``; ``text`` is the unit's file.

    The unit ``UNIT-new`` has the same text, and nothing stored.
    """
    run, file = shell.run, shell.file

    def new(name: str = "a") -> dict[str, Any]:
        return shell.document(place, name)

    def pairs(document: dict[str, Any]) -> list[str]:
        values = [f"{name}={json.dumps(value)}" for name, value in document.items()]
        return [part for value in values for part in ("--set", value)]

    def newest_job() -> dict[str, Any]:
        with shell.daemon.client() as client:
            job: dict[str, Any] = client.call("jobs", unit=unit, limit=1).extra["jobs"][0]
            return job

    def ended() -> None:
        """Wait until the newest job does not run any more; it may wait for its confirmation."""
        until(lambda: newest_job()["state"] not in ("queued", "running"))

    told = ["-m", "why", "--ticket", "T", "--on-behalf-of", "x"]
    key = f"{unit}-{shell.form}"
    run("create", unit, "-f", file([new(), new("b"), new("c")]), "--key", f"{key}1", "--changed-rc", "1", *told)
    run("create", unit, *pairs(new("d")))
    run("create", unit, "-f", file(new("e")), "--apply", "--wait", "--job-timeout", "1m")
    for options in (["--dry-run"], ["--if-rev", "r1"], []):
        run("create", unit, "-f", file([new(), new("z"), new("y") | {"id": 7}]), *options)
        run("create", unit, "-f", file(new("z")), *options, "--dry-run")
        run("set", unit, "a", "-f", file(new("b")), *options)
        run("set", unit, "a", "-f", file(new()), *options, "--key", f"{key}2{options}")
    run("request", f"{key}2[]", "--wait")
    run("set", unit, "a", *pairs(new()), "--unset", "note", "--changed-rc", "0", *told)
    run("set", unit, "a", "--set", "note=1", "--apply", "--no-wait", "--confirm", "10m", "--job-timeout", "1m")
    ended()
    run("create", unit, "-f", file(new("x")))
    run("confirm", unit, "--dry-run")
    run("confirm", unit, *told, "--key", f"{key}3", "--if-rev", "r1", "--changed-rc", "0")
    run("confirm", unit, *told)
    run("set", unit, "b", "-f", file(new("b")), "--apply", "--confirm", "10m", "--no-wait")
    ended()
    run("confirm", unit, "--rollback")
    run("create", unit, "-f", file(new("f")), "--apply", "--no-wait", "--confirm", "10m")
    ended()
    run("confirm", unit)
    _fail(shell, unit, new)
    run("delete", unit, "c", *told, "--dry-run", "--key", f"{key}5", "--changed-rc", "1", "--if-rev", "r1")
    run("delete", unit, "c", "--apply", "--job-timeout", "1m", "--no-wait")
    run("delete", unit, "d", "--apply", "--no-wait", "--confirm", "10m")
    ended()
    run("confirm", unit)
    _look(shell, unit, place, text)
    job = str(newest_job()["job"])
    run("job", job)
    run("attach", job, "--since", "0", "--tail", "100", "--events", "--follow")
    run("logs", job, "--since", "0", "--tail", "100", "--follow")
    run("logs", job, "--events")
    run("wait", job)
    run("wait", unit, "--for", "applied")
    run("cancel", job)
    run("plan", unit, "--check")
    for options in (["--dry-run"], ["--if-rev", "r1"], ["--key", f"{key}6", "--changed-rc", "1", *told]):
        run("apply", unit, "-f", file(new("g")), *options)
        run("rollback", unit, *options)
        run("redo", unit, *options)
        run("rollback", unit, *options[:2], "--steps", "2")
        run("redo", unit, "--steps", "2", *options[:2])
    run("apply", unit, "--no-wait", "--job-timeout", "1m", "--confirm", "10m")
    ended()
    run("confirm", unit)
    run("rollback", unit, "--apply", "--no-wait", "--job-timeout", "1m", "--confirm", "10m")
    ended()
    run("confirm", unit)
    run("redo", unit, "--apply", "--no-wait", "--job-timeout", "1m", "--confirm", "10m")
    ended()
    run("confirm", unit)
    run("rollback", unit, "--to", "applied")
    run("redo", unit)
    for changeset in _revisions(shell, unit):
        run("revert", unit, f"r{changeset}", "--dry-run")
    newest = f"r{_revisions(shell, unit)[0]}"
    run("revert", unit, newest, "--if-rev", "r1", "--changed-rc", "0", *told, "--key", f"{key}7")
    run("revert", unit, newest, "--apply", "--no-wait", "--job-timeout", "1m", "--confirm", "10m")
    ended()
    run("confirm", unit)
    _move(shell, unit, place, told, key)
    run("--create", "--unit", unit, "--file", file(new("h")))
    run("--apply", "--unit", unit)
    run("--rollback", "--unit", unit)
    run("--show-summary", "--unit", unit)
    run("--list-units")
    run("--discover", shell.daemon.endpoint)
    for part in ("audit", "history", "jobs"):
        run(part, unit, "--limit", "1000", *([] if part == "jobs" else ["--since", "-1h", "--author", "root"]))
    run("audit", "--limit", "1000")
    run("history", unit, "--diff", "--limit", "1000")
    run("jobs", "--state", "succeeded")


def without_marks(shell: Shell, unit: str, file: Path) -> None:
    """Read and apply what was stored under marks with a text that has none; and undo it."""
    run = shell.run
    file.write_text(re.sub('"(writeOnly|x-lmaps-secret)": true', '"title": "none"', file.read_text()))
    run("reload")
    run("apply", unit)
    run("show", unit)
    run("diff", unit, "r1", "@")
    run("blame", unit)
    run("history", unit, "--diff", "--limit", "1000")
    run("export", unit)
    run("rollback", unit)
    run("redo", unit, "--apply")


def _fail(shell: Shell, unit: str, new: Any) -> None:
    """Have the handler fail, after it has printed what it was given."""
    (shell.daemon.directory / "fail").touch()
    shell.run("set", unit, "a", "-f", shell.file(new()), "--apply", "--verbose")
    shell.run("rollback", unit)
    (shell.daemon.directory / "fail").unlink()


def _revisions(shell: Shell, unit: str) -> list[int]:
    with shell.daemon.client() as client:
        return [row["revision"] for row in client.call("history", unit=unit, limit=100).extra["changesets"]]


def _look(shell: Shell, unit: str, place: Place, text: str) -> None:
    """Read whatever can be read."""
    run, file = shell.run, shell.file
    run("units", "--errors")
    run("units", "--verbose")
    run("explain", unit)
    run("explain", unit, "--schema")
    run("unit", "check", file(text))
    run("unit", "check", file(text), "--offline")
    run("unit", "check", file(text.replace('"object"', '"array"', 1)))
    run("show", unit)
    run("show", unit, "--color", "always")
    run("show", unit, "a", "--instances", "--reverse")
    run("history", "--ticket", "T", "--diff")
    newest, *_, oldest = _revisions(shell, unit)
    for revision in (newest, oldest):
        run("show", unit, "--at", f"r{revision}", "--instances")
    run("diff", unit, f"r{oldest}", f"r{newest}")
    run("diff", unit, f"r{newest}", f"r{oldest}", "--stat")
    run("diff", unit)
    run("blame", unit)
    run("blame", unit, "a")
    run("blame", unit, "/data")
    run("plan", unit)
    run("plan", unit, "-f", file([shell.document(place, "a"), shell.document(place, "p")]))
    run("plan", unit, "-f", file(shell.document(place, "p")))
    run("validate", unit, "-f", file([shell.document(place, "a"), {"id": shell.document(place, "b")}]))
    run("validate", unit, "-f", file(shell.document(place, "a")), "--show-defaults")
    for document in (shell.document(place, "a"), shell.document(place, "a") | {"id": 7}):
        run("validate", "-f", file(document), "--offline", file(text), "--show-defaults")
    run("status", "--wait")
    run("doctor")
    run("doctor", "--may", "uid:0", "show", unit)
    run("handlers")
    run("reload")
    run("discover")
    run("show", unit, "--reveal", "--instances")


def _move(shell: Shell, unit: str, place: Place, told: list[str], key: str) -> None:
    """Export, import and migrate."""
    run, file = shell.run, shell.file
    directory = shell.daemon.directory
    masked = run("export", unit, "--json")
    run("export", unit, "--yaml", "--at", "applied")
    run("export", unit, "--history")
    run("export", unit, "--tree", str(directory / f"{key}.tree"))
    run("export", unit, "--output", str(directory / f"{key}.export"))
    with shell.daemon.client() as client:
        revealed = client.call("export", units=[unit], reveal=True).extra["units"][0]["instances"]
    shell.stored = shell.canaries.found_in(json.dumps(revealed))
    shell.revealed.clear()
    run("export", unit, "--reveal")
    assert shell.revealed == shell.stored
    run("export", unit, "--reveal", "--json")
    run("import", file(masked), "--mode", "merge", *told, "--key", f"{key}8", "--changed-rc", "1")
    export = json.loads(masked)
    export["units"][0]["instances"] = [shell.document(place, "q"), shell.document(place, "r")]
    run("import", file(export), "--dry-run", "--mode", "replace", "--max-deletes", "99", "--if-rev", "r1")
    run("import", file(export), "--mode", "replace")
    export["units"][0]["instances"] += [shell.document(place, "q")]
    run("import", file(export))
    trees = directory / f"{key}.given"
    for name in ("current", "rollback"):
        (trees / name).mkdir(parents=True)
        (trees / name / "1.json").write_text(json.dumps(shell.document(place, name)))
    config = file({"units": [{"meta": {"name": f"{unit}-new", "store_root": str(trees)}}]})
    run("migrate", "--from-store", str(trees), "--unit", unit, "--dry-run", *told, "--key", f"{key}9")
    run("migrate", "--from-config", config, "--if-rev", "r1", "--changed-rc", "1")
    run("migrate", "--from-config", config, "--dry-run")
    run("migrate", "--from-config", config)
    run("redo", f"{unit}-new")
    run("show", f"{unit}-new")


def files_of(directory: Path) -> dict[Path, bytes]:
    """Return the files of a daemon, without those that the test gave to commands."""
    sys.stdout.flush()
    return {
        path: path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith("given") and ".given" not in str(path)
    }
