"""``import``, ``migrate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lmaps.cli.commands.exports import VERSION
from lmaps.cli.commands.instances import send_documents, tell_write
from lmaps.cli.diffs import tell_dry_run
from lmaps.cli.documents import Given, read_documents
from lmaps.cli.session import Session, Write, command, write_options
from lmaps.errors import DocumentRefused, Finding, UsageError


@command(
    "import",
    examples="lmaps import state.yaml\nlmaps import state.yaml --mode replace --max-deletes 3 -m 'as in git'\n"
    "lmaps export --history | lmaps -e ipc://other.sock import -",
)
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option(
    "--mode",
    type=click.Choice(("merge", "replace", "skip")),
    default="merge",
    show_default=True,
    help="merge adds and replaces by ID, skip adds only, replace makes the state what the files are.",
)
@click.option(
    "--max-deletes", metavar="N", type=click.IntRange(0), default=0, help="Instances that replace may delete."
)
@write_options
def import_(session: Session, files: tuple[str, ...], mode: str, max_deletes: int, write: Write) -> None:
    """Take in what export wrote: all of it, or nothing."""
    if not files:
        raise UsageError("cannot import nothing: name a file that lmaps export wrote, or - for stdin")
    units = [unit for file in files for unit in _exported(file)]
    if any("history" in unit for unit in units):
        told = [unit.history for unit in units]
        reply = write.send(session, "import_history", units=told)
        if reply.extra.get("dry_run"):
            tell_dry_run(session, reply)
        session.words(reply.message)
        write.end(changed=True)
        return
    given = [one for unit in units for one in unit.instances]
    reply = send_documents(
        given,
        lambda _: write.send(
            session,
            "import",
            units=[{"unit": unit.name, "instances": [one.value for one in unit.instances]} for unit in units],
            mode=mode,
            max_deletes=max_deletes,
        ),
    )
    tell_write(session, reply, write)
    session.words(reply.message)


@dataclass(frozen=True)
class ExportedUnit:
    """One unit of a file that `export` wrote: as it stands there, and its documents with their places."""

    document: dict[str, Any]
    instances: list[Given]

    @property
    def name(self) -> str:
        """The unit's name."""
        return str(self.document["unit"])

    @property
    def history(self) -> dict[str, Any]:
        """The unit with its changesets: what else is in the file follows from them."""
        return {name: self.document[name] for name in ("unit", "definitions", "history") if name in self.document}

    def __contains__(self, name: str) -> bool:
        return name in self.document


def _exported(file: str) -> list[ExportedUnit]:
    """The units in a file that `export` wrote, as YAML or as JSON."""
    given = read_documents([file])
    head = given[0].value
    if not isinstance(head, dict) or head.get("lmaps") != "export":
        raise UsageError(f"cannot import {file}: it is no export of lMaPS; lmaps create takes plain documents")
    if head.get("version") != VERSION:
        raise UsageError(f"cannot import {file}: its version is {head.get('version')}, this lMaPS reads {VERSION}")
    found = [Given(one, given[0].document, ("units", place)) for place, one in enumerate(head.get("units", []))]
    return [_exported_unit(file, one) for one in [*found, *given[1:]]]


def _exported_unit(file: str, one: Given) -> ExportedUnit:
    told = one.value
    if (
        not isinstance(told, dict)
        or not isinstance(told.get("unit"), str)
        or not isinstance(told.get("instances"), list)
    ):
        finding = one.locate(Finding("no unit: expected an object with unit and instances"))
        raise DocumentRefused(f"cannot import {file}: not every document is a unit", errors=[finding])
    places = [Given(each, one.document, (*one.at, "instances", place)) for place, each in enumerate(told["instances"])]
    return ExportedUnit(told, places)


@command(
    "migrate",
    examples="lmaps migrate --from-store /var/lib/old/web --unit web\nlmaps migrate --from-config /etc/lmaps.yaml",
)
@click.option("--from-store", metavar="DIR", help="The original's tree of one unit: current/ and rollback/.")
@click.option("--unit", "-u", metavar="UNIT", help="The unit that takes it in.")
@click.option("--from-config", metavar="FILE", help="The original's configuration: each of its units that has a store.")
@write_options
def migrate(session: Session, from_store: str | None, unit: str | None, from_config: str | None, write: Write) -> None:
    """Take in what the original lMaPS kept: its instances in their order, and what was rolled back for redo."""
    if (from_store is None) == (from_config is None):
        raise UsageError("cannot tell what to migrate: give --from-store DIR with --unit UNIT, or --from-config FILE")
    if from_store is not None and unit is None:
        raise UsageError("cannot tell which unit takes it in: give --unit UNIT")
    stores = [(str(unit), from_store)] if from_store is not None else _stores(str(from_config), unit)
    for name, directory in stores:
        _migrate(session, name, directory, write)


def _migrate(session: Session, unit: str, directory: str, write: Write) -> None:
    current, undone = _tree(directory)
    count = len(current)

    def send(documents: list[Any]) -> Any:
        return write.send(session, "migrate", unit=unit, current=documents[:count], undone=documents[count:])

    reply = send_documents([*current, *undone], send)
    tell_write(session, reply, write)
    session.words(reply.message)


def _stores(file: str, only: str | None) -> list[tuple[str, str]]:
    """Unit and store of each unit in the original's configuration."""
    told = read_documents([file])[0].value
    units = told.get("units", []) if isinstance(told, dict) else []
    metas = [unit.get("meta", {}) for unit in units if isinstance(unit, dict)]
    found = [(meta["name"], meta["store_root"]) for meta in metas if meta.get("store_root") and meta.get("name")]
    found = [(name, str(Path(file).parent / root)) for name, root in found if only in (None, name)]
    if not found:
        raise UsageError(f"cannot migrate from {file}: none of its units has a store_root")
    return found


def _tree(directory: str) -> tuple[list[Given], list[Given]]:
    """The documents of the original's tree, in the order of the times that name its files."""
    from lmaps.model.data_types import YamlFile, files_by_time  # noqa: PLC0415 (export and import do without)

    current, undone = (Path(directory) / name for name in (YamlFile.current_dir, YamlFile.rollback_dir))
    if not current.is_dir():
        raise UsageError(f"cannot migrate {directory}: it has no directory {YamlFile.current_dir}")
    found = [files_by_time(str(path)) if path.is_dir() else [] for path in (current, undone)]
    documents = [read_documents(files) if files else [] for files in found]
    return documents[0], documents[1]
