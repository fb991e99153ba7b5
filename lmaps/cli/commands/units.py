"""``units``, ``explain``, ``unit check``."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from lmaps.cli.documents import expand, read_file
from lmaps.cli.options import Command, command, complete_units, required_unit
from lmaps.cli.render import Table, revision
from lmaps.cli.session import Session, read_row
from lmaps.errors import Finding, UsageError
from lmaps.model.diff import MISSING
from lmaps.util.jsonio import JsonObject
from lmaps.util.lazy import LazyModule
from lmaps.util.text import plural

if TYPE_CHECKING:
    from lmaps import protocol
    from lmaps.model import units as unit_files
    from lmaps.protocol import views
else:
    protocol = LazyModule("lmaps.protocol")
    unit_files = LazyModule("lmaps.model.units")  # schemas, needed only for --offline
    views = LazyModule("lmaps.protocol.views")  # 15 ms that --help does without


class _Units(NamedTuple):
    """The answer about the units, and the findings in unit files that were refused."""

    units: Sequence[JsonObject]
    errors: Sequence[JsonObject]


@command("units", examples="lmaps units\nlmaps units --errors\nlmaps units -o json")
@click.option("--errors", is_flag=True, help="List what is wrong with unit files that were refused.")
def units(session: Session, errors: bool) -> None:
    """List units: type, handler, instances, revisions, condition."""
    reply = read_row(_Units, session.call("units").extra)
    refused = [Finding.from_json(row) for row in reply.errors]
    if errors:
        rows = [(finding.place, finding.path, finding.message) for finding in refused]
        session.print_data(
            reply.errors, Table(("PLACE", "PATH", "ERROR"), rows), [finding.place for finding in refused]
        )
        return
    headers = ("UNIT", "TYPE", "HANDLER", "INSTANCES", "REVISION", "APPLIED", "CONDITION")
    rows_of_units = [views.UnitView.from_json(row) for row in reply.units]
    cells = [
        (row.unit, row.type, row.handler, row.instances, revision(row.revision), revision(row.applied), row.condition)
        for row in rows_of_units
    ]
    session.print_data(reply.units, Table(headers, cells), [row.unit for row in rows_of_units])
    if refused:
        session.print_message(f"{plural(len(refused), 'error')} in unit files: lmaps units --errors")


class _Explanation(NamedTuple):
    """The answer about a unit's properties; ``schema`` is that of an instance."""

    description: str | None
    type: str
    handler: str
    properties: Sequence[JsonObject]
    schema: object


class _Property(NamedTuple):
    """A property of a unit; ``default`` is `MISSING` where it has none."""

    path: str
    type: str
    required: bool
    limits: str
    description: str | None
    default: object = MISSING


@command("explain", examples="lmaps explain web\nlmaps explain web.port\nlmaps explain web --schema -o json")
@click.argument("path", metavar="UNIT[.PROPERTY...]", required=False, shell_complete=complete_units)
@click.option("--unit", "-u", "unit_option", metavar="UNIT", hidden=True)
@click.option("--schema", is_flag=True, help="The JSON Schema itself.")
def explain(session: Session, path: str | None, unit_option: str | None, schema: bool) -> None:
    """Show a unit's properties: type, default, limits, text."""
    name, wanted = _unit_and_property(session, required_unit(path, unit_option))
    explanation = read_row(_Explanation, session.call("explain", unit=name, property=wanted).extra)
    if schema:
        session.print_data(explanation.schema)
        return
    rows = [read_row(_Property, row) for row in explanation.properties]
    cells = [(row.path, row.type, _default(row), row.limits or None, row.description) for row in rows]
    if session.output_format == "table":
        session.print_message(f"{name}: {explanation.description or explanation.type}, handler {explanation.handler}")
    table = Table(("PROPERTY", "TYPE", "DEFAULT", "LIMITS", "DESCRIPTION"), cells)
    session.print_data(explanation.properties, table, [row.path for row in rows])


def _unit_and_property(session: Session, path: str) -> tuple[str, str | None]:
    """Split a path into unit and property. A unit's name may have dots itself: the longest that exists counts."""
    names = [row["unit"] for row in session.call("units").extra["units"]]
    matching = [name for name in names if path == name or path.startswith(f"{name}.")]
    name = max(matching, key=len) if matching else path.partition(".")[0]
    return name, path[len(name) + 1 :] or None


def _default(row: _Property) -> str | None:
    if row.required:
        return "required"
    return None if row.default is MISSING else json.dumps(row.default, ensure_ascii=False)


class _Impact(NamedTuple):
    """What a unit file would do to stored instances, in the order of the table's columns."""

    file: str
    impact: str
    path: str
    message: str


@click.group("unit", no_args_is_help=False)
def unit() -> None:
    """Work on unit files."""


@unit.command("check", cls=Command, epilog="Examples:\nlmaps unit check web.yaml\nlmaps unit check --offline units.d")
@click.argument("files", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Without the daemon: handlers and stored instances are not checked.")
@click.pass_obj
def check(session: Session, files: tuple[str, ...], offline: bool) -> None:
    """Check unit files: errors, warnings, and what they would do to the stored instances.

    Exit code 1 if a file would be refused, or would affect stored instances.
    """
    texts = [{"name": name, "text": _read_text(name)} for file in files for name in expand(file)]
    reply = _check_offline(texts) if offline else session.call("unit_check", files=texts)
    findings = [("error", finding) for finding in reply.errors]
    findings += [("warning", Finding.from_json(row)) for row in reply.extra["warnings"]]
    rows: list[Sequence[str]] = [(finding.place, kind, finding.path, finding.message) for kind, finding in findings]
    rows += [read_row(_Impact, row) for row in reply.extra.get("impacts", ())]
    data = {"errors": [finding.to_json() for finding in reply.errors], **reply.extra}
    session.print_data(data, Table(("PLACE", "KIND", "PATH", "FINDING"), rows) if rows else Table((), []))
    session.print_message(f"{plural(len(texts), 'file')}: {reply.message}")
    raise click.exceptions.Exit(reply.level)


def _read_text(name: str) -> str:
    try:
        return read_file(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {name}: it is not UTF-8") from error


def _check_offline(texts: list[dict[str, str]]) -> "protocol.Reply":
    """Return what the daemon would reply, without the checks that need its handlers and its state."""
    loaded = unit_files.load_units_from((file["name"], file["text"]) for file in texts)
    errors = tuple(finding for error in loaded.errors for finding in error.errors)
    return protocol.Reply(
        f"{plural(len(errors), 'error')}, {plural(len(loaded.warnings), 'warning')}",
        level=1 if errors else 0,
        extra={
            "units": [{"unit": name, "file": unit.file, "ok": True} for name, unit in loaded.units.items()],
            "warnings": [finding.to_json() for finding in loaded.warnings],
        },
        errors=errors,
    )
