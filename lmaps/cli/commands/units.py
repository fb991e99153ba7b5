"""``units``, ``explain``, ``unit check``."""

import json
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli.documents import expand, read_text
from lmaps.cli.render import Table, revision
from lmaps.cli.session import Command, Session, command, complete_units, the_unit
from lmaps.errors import Finding, UsageError
from lmaps.util.text import plural

if TYPE_CHECKING:
    from lmaps.protocol import Reply


@command("units", examples="lmaps units\nlmaps units --errors\nlmaps units -o json")
@click.option("--errors", is_flag=True, help="List what is wrong with unit files that were refused.")
def units(session: Session, errors: bool) -> None:
    """List units: type, handler, instances, revisions, condition."""
    extra = session.call("units").extra
    refused = [Finding.from_json(told) for told in extra["errors"]]
    if errors:
        rows = [(finding.place, finding.path, finding.message) for finding in refused]
        session.data(extra["errors"], Table(("PLACE", "PATH", "ERROR"), rows), [row[0] for row in rows])
        return
    headers = ("UNIT", "TYPE", "HANDLER", "INSTANCES", "REVISION", "APPLIED", "CONDITION")
    session.data(
        extra["units"],
        Table(headers, [_row(unit) for unit in extra["units"]]),
        [unit["unit"] for unit in extra["units"]],
    )
    if refused:
        session.words(f"{plural(len(refused), 'error')} in unit files: lmaps units --errors")


def _row(unit: dict[str, Any]) -> tuple[Any, ...]:
    revisions = (revision(unit["revision"]), revision(unit["applied"]))
    return (unit["unit"], unit["type"], unit["handler"], unit["instances"], *revisions, unit["condition"])


@command("explain", examples="lmaps explain web\nlmaps explain web.port\nlmaps explain web --schema -o json")
@click.argument("path", metavar="UNIT[.PROPERTY...]", required=False, shell_complete=complete_units)
@click.option("--unit", "-u", "unit_option", metavar="UNIT", hidden=True)
@click.option("--schema", is_flag=True, help="The JSON Schema itself.")
def explain(session: Session, path: str | None, unit_option: str | None, schema: bool) -> None:
    """Show a unit's properties: type, default, limits, text."""
    named = the_unit(path, unit_option)
    unit, wanted = _split(session, named)
    extra = session.call("explain", unit=unit, property=wanted).extra
    if schema:
        session.data(extra["schema"])
        return
    rows = [
        (row["path"], row["type"], _default(row), row["limits"] or None, row["description"])
        for row in extra["properties"]
    ]
    if session.output_format == "table":
        session.words(f"{unit}: {extra['description'] or extra['type']}, handler {extra['handler']}")
    table = Table(("PROPERTY", "TYPE", "DEFAULT", "LIMITS", "DESCRIPTION"), rows)
    session.data(extra["properties"], table, [row["path"] for row in extra["properties"]])


def _split(session: Session, named: str) -> tuple[str, str | None]:
    """Unit and property: names of units may have dots themselves, so the longest one that is there counts."""
    known = [row["unit"] for row in session.call("units").extra["units"]]
    fitting = [name for name in known if named == name or named.startswith(f"{name}.")]
    unit = max(fitting, key=len) if fitting else named.partition(".")[0]
    return unit, named[len(unit) + 1 :] or None


def _default(row: dict[str, Any]) -> Any:
    if row["required"]:
        return "required"
    return json.dumps(row["default"], ensure_ascii=False) if "default" in row else None


@click.group("unit", no_args_is_help=False)
def unit() -> None:
    """Work on unit files."""


@unit.command("check", cls=Command, epilog="Examples:\nlmaps unit check web.yaml\nlmaps unit check --offline units.d")
@click.argument("files", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Without the daemon: handlers and stored instances are left out.")
@click.pass_obj
def check(session: Session, files: tuple[str, ...], offline: bool) -> None:
    """Check unit files: what would be refused, what is odd, and what it would do to the instances that are stored.

    Exit code 1 if anything would be refused, or would touch what is stored.
    """
    texts = [{"name": name, "text": _text(name)} for each in files for name in expand(each)]
    reply = _check_offline(texts) if offline else session.call("unit_check", files=texts)
    findings = [(finding, "error") for finding in reply.errors]
    findings += [(Finding.from_json(told), "warning") for told in reply.extra["warnings"]]
    rows = [(found.place, kind, found.path, found.message) for found, kind in findings]
    rows += [(told["file"], told["impact"], told["path"], told["message"]) for told in reply.extra.get("impacts", ())]
    data = {"errors": [each.to_json() for each in reply.errors], **reply.extra}
    session.data(data, Table(("PLACE", "KIND", "PATH", "FINDING"), rows) if rows else Table((), []))
    session.words(f"{plural(len(texts), 'file')}: {reply.message}")
    raise click.exceptions.Exit(reply.level)


def _text(name: str) -> str:
    try:
        return read_text(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {name}: it is not UTF-8") from error


def _check_offline(texts: list[dict[str, str]]) -> "Reply":
    """As the daemon does it, but for the handlers, which it alone knows."""
    from lmaps.model.units import load_units_from  # noqa: PLC0415
    from lmaps.protocol import Reply  # noqa: PLC0415 (only offline pays for the schema)

    found = load_units_from((file["name"], file["text"]) for file in texts)
    errors = tuple(finding for error in found.errors for finding in error.errors)
    return Reply(
        f"{plural(len(errors), 'error')}, {plural(len(found.warnings), 'warning')}",
        level=1 if errors else 0,
        extra={
            "units": [{"unit": name, "file": unit.file, "ok": True} for name, unit in found.units.items()],
            "warnings": [finding.to_json() for finding in found.warnings],
        },
        errors=errors,
    )
