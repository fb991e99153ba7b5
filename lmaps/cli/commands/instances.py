"""``create``, ``set``, ``delete``, ``validate``; and how a refused document is told."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli.diffs import tell_dry_run
from lmaps.cli.documents import Given, assignments, read_documents, read_text, set_properties
from lmaps.cli.render import revision, without_short
from lmaps.cli.session import (
    Session,
    Write,
    any_unit,
    command,
    the_unit,
    unit_and_ids,
    unit_argument,
    write_options,
)
from lmaps.cli.watch import Run, and_apply, apply_options, asked
from lmaps.errors import LmapsError, UsageError, ValidationFailed
from lmaps.model.diff import pointer
from lmaps.util.text import plural

if TYPE_CHECKING:
    from lmaps.protocol import Reply

set_option = click.option("--set", "pairs", metavar="K=V", multiple=True, help="A property; a.b=V for a nested one.")
files_option = click.option(
    "--file", "-f", "files", metavar="FILE", multiple=True, help="Documents: a file, a directory, or - for stdin."
)


@command(
    "create",
    examples="lmaps create web -f www.yaml -m 'new vhost'\n"
    "lmaps create web --set host=www.example.org --set port=8080\n"
    "generate | lmaps create web -f -",
)
@unit_argument
@files_option
@set_option
@apply_options
@write_options
def create(
    session: Session,
    unit: str | None,
    unit_option: str | None,
    files: tuple[str, ...],
    pairs: tuple[str, ...],
    run: Run | None,
    write: Write,
) -> None:
    """Create instances: all of the documents given, or none."""
    name = the_unit(unit, unit_option)
    given = gather(session, name, files, pairs)
    reply = send_documents(
        given, lambda documents: write.send(session, "create", unit=name, instances=documents, **asked(run))
    )
    tell_write(session, reply, write, run)


@command(
    "set",
    examples="lmaps set web www.example.org --set tls=true -m https\n"
    "lmaps set web www.example.org --unset aliases --if-rev r5\n"
    "lmaps set web www.example.org -f www.yaml --dry-run",
)
@unit_argument
@click.argument("ids", metavar="ID", nargs=-1)
@files_option
@set_option
@click.option("--unset", "unset", metavar="K", multiple=True, help="A property to take away; a.b for a nested one.")
@apply_options
@write_options
def set_(
    session: Session,
    unit: str | None,
    unit_option: str | None,
    ids: tuple[str, ...],
    files: tuple[str, ...],
    pairs: tuple[str, ...],
    unset: tuple[str, ...],
    run: Run | None,
    write: Write,
) -> None:
    """Change an instance: replace it by a document, or set properties of it; make it if it is not there."""
    name, wanted = unit_and_ids(unit, unit_option, ids)
    if len(wanted) != 1:
        raise UsageError(f"cannot tell which instance is meant: name one ID, as in lmaps set {name} ID --set K=V")
    given = read_documents(files) if files else []
    if len(given) > 1:
        raise UsageError(f"cannot set one instance to {len(given)} documents: give one")
    types = typed(session, name)
    reply = send_documents(
        given,
        lambda documents: write.send(
            session,
            "set",
            unit=name,
            id=wanted[0],
            instance=documents[0] if documents else None,
            set=[{"path": pointer(path), "value": value} for path, value in assignments(pairs, types)],
            unset=[pointer(key.split(".")) for key in unset],
            **asked(run),
        ),
    )
    tell_write(session, reply, write, run)


@command("delete", examples="lmaps delete web www.example.org -m 'moved'\nlmaps delete web a.example.org b.example.org")
@unit_argument
@click.argument("ids", metavar="ID...", nargs=-1)
@apply_options
@write_options
def delete(
    session: Session,
    unit: str | None,
    unit_option: str | None,
    ids: tuple[str, ...],
    run: Run | None,
    write: Write,
) -> None:
    """Delete instances: all that are named, or none."""
    name, wanted = unit_and_ids(unit, unit_option, ids)
    if not wanted:
        raise UsageError(f"cannot delete nothing: name the IDs, lmaps show {name} lists them")
    tell_write(session, write.send(session, "delete", unit=name, ids=wanted, **asked(run)), write, run)


def gather(session: Session, unit: str, files: Sequence[str], pairs: Sequence[str]) -> list[Given]:
    """The documents that the user gave, by files or by properties."""
    if files and pairs:
        raise UsageError("cannot take both --file and --set: use one of them")
    if files:
        return read_documents(files)
    if pairs:
        return [Given(set_properties(pairs, typed(session, unit)))]
    raise UsageError("cannot create nothing: give documents with -f FILE (- is stdin) or properties with --set K=V")


def typed(session: Session, unit: str) -> Callable[[], dict[str, str]]:
    """What asks the daemon for the type of each property, when it is called."""
    return lambda: {row["path"]: row["type"] for row in session.call("explain", unit=unit).extra["properties"]}


def send_documents(given: Sequence[Given], send: Callable[[list[Any]], Any]) -> Any:
    """Send documents; if they are refused every finding gets its place in the user's files."""
    try:
        return send([one.value for one in given])
    except LmapsError as refused:
        if not given or not any(finding.document is not None for finding in refused.errors):
            raise
        located = [
            given[finding.document].locate(finding) if finding.document is not None else finding
            for finding in refused.errors
        ]
        located.sort(key=lambda finding: (finding.document or 0, finding.line or 0, finding.column or 0))
        message = refused.message
        if isinstance(refused, ValidationFailed) and any(finding.file for finding in located):
            message = _with_files(message, Counter(finding.file for finding in located))
        raise type(refused)(message, errors=located, hint=refused.hint, extra=refused.extra) from refused


def _with_files(message: str, errors: Counter[str | None]) -> str:
    """``cannot create in web: www.yaml has 2 errors, nothing was changed``."""
    start, _, end = message.partition(": ")
    count = plural(errors.total(), "error")
    file = next(iter(errors))
    who = f"{file} has {count}" if len(errors) == 1 else f"{len(errors)} files have {count}"
    return f"{start}: {who}{end[end.index(',') :] if ',' in end else ''}"


def tell_write(session: Session, reply: "Reply", write: Write, run: Run | None = None) -> None:
    """What became of the instances, or what would; ends the command where that has an exit code of its own."""
    if reply.extra.get("dry_run"):
        tell_dry_run(session, reply)
    if run is None or not session.structured:
        tell_results(session, reply.extra["instances"])
    and_apply(session, reply, run, write)
    write.end(changed=any(row["result"] != "unchanged" for row in reply.extra["instances"]))


def tell_results(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """One line an instance: what became of it, its ID, its revision."""
    lines = [f"{row['result']}  {row['short']}  {revision(row['revision'])}" for row in rows]
    session.lines([without_short(row) for row in rows], lines, [row["id"] for row in rows])


@command(
    "validate", examples="lmaps validate web -f www.yaml\nlmaps validate web -f www.yaml --offline units.d/web.yaml"
)
@unit_argument
@files_option
@click.option("--offline", metavar="UNITFILE", help="Check against this unit file, without the daemon.")
@click.option("--show-defaults", is_flag=True, help="Print the documents with defaults mixed in.")
def validate(
    session: Session,
    unit: str | None,
    unit_option: str | None,
    files: tuple[str, ...],
    offline: str | None,
    show_defaults: bool,
) -> None:
    """Check documents as create would; nothing is kept."""
    name = any_unit(unit, unit_option)
    if not files:
        raise UsageError("cannot validate nothing: give documents with -f FILE (- is stdin)")
    given = read_documents(files)
    if offline is not None:
        rows = send_documents(given, lambda documents: _validate_offline(offline, name, documents))
    else:
        wanted = the_unit(unit, unit_option)
        rows = send_documents(given, lambda documents: session.call("validate", unit=wanted, instances=documents))
        rows = [row["completed"] for row in rows.extra["instances"]]
    if show_defaults:
        session.data(rows[0] if len(rows) == 1 else rows)
    session.words(f"{plural(len(rows), 'document')} valid")


def _validate_offline(file: str, name: str | None, documents: Sequence[Any]) -> list[Any]:
    from lmaps.model.units import load_units_from  # noqa: PLC0415 (only offline pays for the schema)

    found = load_units_from([(file, read_text(file))])
    for error in found.errors:
        raise error
    if name is not None and name not in found.units:
        raise UsageError(f"cannot validate: there is no unit {name} in {file}")
    if name is None and len(found.units) != 1:
        raise UsageError(f"cannot tell which unit of {file} is meant: name it")
    chosen = found.units[name or next(iter(found.units))]
    completed, findings = [], []
    for number, document in enumerate(documents):
        try:
            completed.append(chosen.complete(document))
        except ValidationFailed as refused:
            findings += [finding._replace(document=number) for finding in refused.errors]
    if findings:
        raise ValidationFailed(f"cannot validate in {chosen.name}: {plural(len(findings), 'error')}", errors=findings)
    return completed
