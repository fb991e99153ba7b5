"""``create``, ``set``, ``delete``, ``validate``; and how findings get their places in the user's files."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli.diffs import print_dry_run
from lmaps.cli.documents import InputDocument, read_documents, read_file
from lmaps.cli.options import (
    Run,
    Write,
    apply_args,
    apply_options,
    command,
    files_option,
    optional_unit_argument,
    required_unit,
    set_option,
    unit_argument,
    unit_argument_before,
    write_options,
)
from lmaps.cli.render import revision, without_short
from lmaps.cli.session import Session
from lmaps.cli.texts import parse_assignments, text_args
from lmaps.cli.watch import finish_with_job
from lmaps.errors import Finding, LmapsError, UsageError, ValidationFailed
from lmaps.model.diff import pointer
from lmaps.util.lazy import LazyModule
from lmaps.util.text import plural

if TYPE_CHECKING:
    from lmaps.model import units
    from lmaps.protocol import Reply, views
    from lmaps.protocol.views import InstanceRow
else:
    units = LazyModule("lmaps.model.units")  # schemas, needed only for --offline
    views = LazyModule("lmaps.protocol.views")  # 15 ms that --help does without

Send = Callable[[list[Any]], Any]
"""Sends documents to the daemon, or checks them here; raises what they are refused with."""


@command(
    "create",
    examples="lmaps create web -f www.yaml -m 'new vhost'\n"
    "lmaps create web --set host=www.example.org --set port=8080\n"
    "lmaps create db --set id=main --set password=@/run/secrets/db\n"
    "generate | lmaps create web -f -",
)
@unit_argument
@files_option
@set_option
@apply_options
@write_options
def create(
    session: Session, unit: str, files: tuple[str, ...], pairs: tuple[str, ...], run: Run | None, write: Write
) -> None:
    """Create instances: all of the given documents, or none."""
    documents = _input_documents(files, pairs)
    texts = text_args(parse_assignments(pairs))

    def send(values: list[Any]) -> "Reply":
        return write.send(session, "create", unit=unit, instances=values, **texts, **apply_args(run))

    finish_write(session, send_documents(documents, send), write, run)


@command(
    "set",
    examples="lmaps set web www.example.org --set tls=true -m https\n"
    "lmaps set web www.example.org --unset aliases --if-rev r5\n"
    "lmaps set db main --set password\n"
    "lmaps set web www.example.org -f www.yaml --dry-run",
)
@unit_argument_before("ids")
@click.argument("ids", metavar="ID", nargs=-1)
@files_option
@set_option
@click.option("--unset", "unset", metavar="K", multiple=True, help="A property to remove; a.b for a nested one.")
@apply_options
@write_options
def set_(
    session: Session,
    unit: str,
    ids: tuple[str, ...],
    files: tuple[str, ...],
    pairs: tuple[str, ...],
    unset: tuple[str, ...],
    run: Run | None,
    write: Write,
) -> None:
    """Change an instance: replace it by a document, or set properties of it; create it if there is none."""
    if len(ids) != 1:
        raise UsageError(f"name one ID, as in lmaps set {unit} ID --set K=V")
    assignments = parse_assignments(pairs, files)
    documents = read_documents(files) if files else []
    if len(documents) > 1:
        raise UsageError(f"set takes one document, but {len(documents)} are given")
    texts = text_args(assignments)

    def send(values: list[Any]) -> "Reply":
        return write.send(
            session,
            "set",
            unit=unit,
            id=ids[0],
            instance=values[0] if values else None,
            **texts,
            unset=[pointer(key.split(".")) for key in unset],
            **apply_args(run),
        )

    finish_write(session, send_documents(documents, send), write, run)


@command("delete", examples="lmaps delete web www.example.org -m 'moved'\nlmaps delete web a.example.org b.example.org")
@unit_argument_before("ids")
@click.argument("ids", metavar="ID...", nargs=-1)
@apply_options
@write_options
def delete(session: Session, unit: str, ids: tuple[str, ...], run: Run | None, write: Write) -> None:
    """Delete instances: all that are named, or none."""
    if not ids:
        raise UsageError(f"name the IDs to delete: lmaps show {unit} lists them")
    reply = write.send(session, "delete", unit=unit, ids=list(ids), **apply_args(run))
    finish_write(session, reply, write, run)


def _input_documents(files: Sequence[str], pairs: Sequence[str]) -> list[InputDocument]:
    """Return the documents that the user handed in, by files or by properties."""
    if files and pairs:
        raise UsageError("--file and --set do not go together: use one of them")
    if files:
        return read_documents(files)
    if pairs:
        return [InputDocument({})]
    raise UsageError("no document is given: use -f FILE (- is stdin) or --set K=V")


def send_documents(documents: Sequence[InputDocument], send: Send) -> Any:
    """Return what ``send`` returns for the values of ``documents``.

    The error that it raises gets the place of each finding in the user's files.
    """
    try:
        return send([document.value for document in documents])
    except LmapsError as refused:
        # Not about the documents: a missing right, for example, or a daemon that cannot be reached.
        if not documents or not any(finding.document is not None for finding in refused.errors):
            raise
        findings = sorted((_located(documents, finding) for finding in refused.errors), key=_position)
        message = refused.message
        if isinstance(refused, ValidationFailed) and any(finding.file for finding in findings):
            message = _name_files(message, Counter(finding.file for finding in findings))
        raise type(refused)(message, errors=findings, hint=refused.hint, extra=refused.extra) from refused


def _located(documents: Sequence[InputDocument], finding: Finding) -> Finding:
    return finding if finding.document is None else documents[finding.document].locate(finding)


def _position(finding: Finding) -> tuple[int, int, int]:
    return (finding.document or 0, finding.line or 0, finding.column or 0)


def _name_files(message: str, errors: Counter[str | None]) -> str:
    """Put the files into a message: ``cannot create in web: www.yaml has 2 errors, nothing was changed``."""
    start, _, end = message.partition(": ")
    count = plural(errors.total(), "error")
    file = next(iter(errors))
    subject = f"{file} has {count}" if len(errors) == 1 else f"{len(errors)} files have {count}"
    return f"{start}: {subject}{end[end.index(',') :] if ',' in end else ''}"


def finish_write(session: Session, reply: "Reply", write: Write, run: Run | None = None) -> None:
    """Print the result of a write, watch its job if one was asked for, and end the command where that has a code."""
    if reply.extra.get("dry_run"):
        print_dry_run(session, reply)
    rows = read_rows(reply)
    # With --apply the data on stdout is the job: two documents there would be no valid JSON.
    if run is None or not session.structured:
        print_rows(session, rows)
    finish_with_job(session, reply, run, write)
    write.finish(changed=any(row.result != "unchanged" for row in rows))


def read_rows(reply: "Reply") -> "list[InstanceRow]":
    """Return the instances in the reply to a write."""
    return [views.InstanceRow.from_json(row) for row in reply.extra["instances"]]


def print_rows(session: Session, rows: "Sequence[InstanceRow]") -> None:
    """Print a line per instance of a write: its result, its ID, its revision."""
    lines = [f"{row.result}  {row.short}  {revision(row.revision)}" for row in rows]
    session.print_lines([without_short(row.to_json()) for row in rows], lines, [row.id for row in rows])


@command(
    "validate", examples="lmaps validate web -f www.yaml\nlmaps validate web -f www.yaml --offline units.d/web.yaml"
)
@optional_unit_argument
@files_option
@click.option("--offline", metavar="UNITFILE", help="Check against this unit file, without the daemon.")
@click.option("--show-defaults", is_flag=True, help="Print the documents with defaults added.")
def validate(
    session: Session, unit: str | None, files: tuple[str, ...], offline: str | None, show_defaults: bool
) -> None:
    """Check documents as create does, and store nothing."""
    if not files:
        raise UsageError("no document is given: use -f FILE (- is stdin)")
    documents = read_documents(files)
    if offline is not None:
        completed = send_documents(documents, lambda values: _validate_offline(offline, unit, values))
    else:
        name = required_unit(unit, None)
        reply = send_documents(documents, lambda values: session.call("validate", unit=name, instances=values))
        completed = [row["completed"] for row in reply.extra["instances"]]
    if show_defaults:
        session.print_data(completed[0] if len(completed) == 1 else completed)
    session.print_message(f"{plural(len(completed), 'document')} valid")


def _validate_offline(file: str, name: str | None, documents: Sequence[object]) -> list[Any]:
    """Return the documents with defaults added and secrets masked.

    Raises `ValidationFailed` with what is wrong in all of them.
    """
    unit = _load_unit(file, name)
    completed, findings = [], []
    for number, document in enumerate(documents):
        try:
            _, admitted = unit.admit(document, content_key=b"")  # the daemon's key, and so its ID, is not known here
            completed.append(unit.secrets.masked(admitted))
        except ValidationFailed as refused:
            findings += [finding._replace(document=number) for finding in refused.errors]
    if findings:
        raise ValidationFailed(f"cannot validate in {unit.name}: {plural(len(findings), 'error')}", errors=findings)
    return completed


def _load_unit(file: str, name: str | None) -> "units.Unit":
    """Return the unit ``name`` of a unit file, or its only one. Raises what is wrong with the file."""
    loaded = units.load_units_from([(file, read_file(file))])
    for error in loaded.errors:
        raise error
    if name is not None and name not in loaded.units:
        raise UsageError(f"there is no unit {name} in {file}")
    if name is None and len(loaded.units) != 1:
        raise UsageError(f"{file} has {len(loaded.units)} units: name one")
    return loaded.units[name or next(iter(loaded.units))]
