"""``import``, ``migrate``, ``export``."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lmaps.cli.commands.instances import finish_write, send_documents
from lmaps.cli.diffs import print_dry_run
from lmaps.cli.documents import InputDocument, output_path, read_documents, write_whole
from lmaps.cli.options import Write, command, complete_units, write_options
from lmaps.cli.render import json_text
from lmaps.cli.session import Session
from lmaps.errors import DocumentRefused, Finding, UsageError
from lmaps.util import fast_yaml
from lmaps.util.lazy import LazyModule
from lmaps.util.text import plural

if TYPE_CHECKING:
    from lmaps.model import data_types
else:
    data_types = LazyModule("lmaps.model.data_types")  # needed only for the original's trees

VERSION = 1
"""The version of the export's form."""
PAGE_DOCUMENTS = 5000
"""Documents that one answer of an export may have."""
HEAD = {"lmaps": "export", "version": VERSION}
HISTORY_FIELDS = ("definitions", "history")
"""The fields of a unit that only an export with --history has."""


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
    help="merge adds and replaces by ID, skip adds only, replace makes the state equal to the files.",
)
@click.option(
    "--max-deletes", metavar="N", type=click.IntRange(0), default=0, help="Instances that replace may delete."
)
@write_options
def import_(session: Session, files: tuple[str, ...], mode: str, max_deletes: int, write: Write) -> None:
    """Store what export wrote: all of it, or nothing."""
    if not files:
        raise UsageError("name a file that lmaps export wrote, or - for stdin")
    units = [unit for file in files for unit in _read_export(file)]
    # Changesets have numbers and authors of their own: they are taken over as they are, and only by an empty daemon.
    if any(unit.has_history for unit in units):
        _import_history(session, units, write)
        return
    documents = [document for unit in units for document in unit.instances]
    payload = [{"unit": unit.name, "instances": [document.value for document in unit.instances]} for unit in units]
    reply = send_documents(
        documents, lambda _: write.send(session, "import", units=payload, mode=mode, max_deletes=max_deletes)
    )
    finish_write(session, reply, write)
    session.print_message(reply.message)


def _import_history(session: Session, units: Sequence["ExportedUnit"], write: Write) -> None:
    reply = write.send(session, "import_history", units=[unit.history for unit in units])
    if reply.extra.get("dry_run"):
        print_dry_run(session, reply)
    session.print_message(reply.message)
    write.finish(changed=True)


@dataclass(frozen=True, slots=True)
class ExportedUnit:
    """One unit of a file that `export` wrote: its document, and its instances with their places in the file."""

    document: dict[str, Any]
    instances: list[InputDocument]

    @property
    def name(self) -> str:
        """The unit's name."""
        return str(self.document["unit"])

    @property
    def has_history(self) -> bool:
        """Whether the unit's changesets were exported too."""
        return "history" in self.document

    @property
    def history(self) -> dict[str, Any]:
        """The unit with its changesets, without its instances: those follow from the changesets."""
        return {name: self.document[name] for name in ("unit", *HISTORY_FIELDS) if name in self.document}


def _read_export(file: str) -> list[ExportedUnit]:
    """Return the units in a file that `export` wrote, as YAML or as JSON."""
    head, *documents = read_documents([file])
    if not isinstance(head.value, dict) or head.value.get("lmaps") != "export":
        raise UsageError(f"cannot import {file}: it is not an export of lMaPS; lmaps create takes plain documents")
    version = head.value.get("version")
    if version != VERSION:
        raise UsageError(f"cannot import {file}: its version is {version}, this lMaPS reads {VERSION}")
    # As JSON the units are in the head, as YAML each is a document of its own.
    inside = head.value.get("units", [])
    units = [InputDocument(unit, head.source, ("units", index)) for index, unit in enumerate(inside)]
    return [_exported_unit(file, document) for document in [*units, *documents]]


def _exported_unit(file: str, document: InputDocument) -> ExportedUnit:
    unit = document.value
    instances = unit.get("instances") if isinstance(unit, dict) else None
    if not isinstance(instances, list) or not isinstance(unit.get("unit"), str):
        finding = document.locate(Finding("no unit: expected an object with unit and instances"))
        raise DocumentRefused(f"cannot import {file}: not every document is a unit", errors=[finding])
    at = (*document.at, "instances")
    return ExportedUnit(
        unit, [InputDocument(value, document.source, (*at, index)) for index, value in enumerate(instances)]
    )


@command(
    "migrate",
    examples="lmaps migrate --from-store /var/lib/old/web --unit web\nlmaps migrate --from-config /etc/lmaps.yaml",
)
@click.option("--from-store", metavar="DIR", help="The original's tree of one unit: current/ and rollback/.")
@click.option("--unit", "-u", metavar="UNIT", help="The unit that stores it.")
@click.option("--from-config", metavar="FILE", help="The original's configuration: each of its units that has a store.")
@write_options
def migrate(session: Session, from_store: str | None, unit: str | None, from_config: str | None, write: Write) -> None:
    """Store what the original lMaPS stored: its instances in their order, and what was rolled back, for redo."""
    if (from_store is None) == (from_config is None):
        raise UsageError("give --from-store DIR with --unit UNIT, or --from-config FILE")
    if from_store is not None and unit is None:
        raise UsageError("--from-store needs a unit: give --unit UNIT")
    stores = [(str(unit), from_store)] if from_store is not None else _stores(str(from_config), unit)
    for name, directory in stores:
        _migrate(session, name, directory, write)


def _migrate(session: Session, unit: str, directory: str, write: Write) -> None:
    current, undone = _read_tree(directory)
    count = len(current)

    # Sent as one list, so that a finding's document number leads to the file in either directory.
    def send(values: list[Any]) -> object:
        return write.send(session, "migrate", unit=unit, current=values[:count], undone=values[count:])

    reply = send_documents([*current, *undone], send)
    finish_write(session, reply, write)
    session.print_message(reply.message)


def _stores(file: str, only: str | None) -> list[tuple[str, str]]:
    """Return unit and directory of each store in the original's configuration, of the unit ``only`` if given."""
    document = read_documents([file])[0].value
    units = document.get("units", []) if isinstance(document, dict) else []
    metas = [unit.get("meta", {}) for unit in units if isinstance(unit, dict)]
    stores = [(meta.get("name"), meta.get("store_root")) for meta in metas]
    base = Path(file).parent
    stores = [(name, str(base / root)) for name, root in stores if name and root and only in (None, name)]
    if not stores:
        raise UsageError(f"cannot migrate from {file}: none of its units has a store_root")
    return stores


def _read_tree(directory: str) -> tuple[list[InputDocument], list[InputDocument]]:
    """Return the current and the undone documents of the original's tree, in the order of the files' times."""
    names = (data_types.YamlFile.current_dir, data_types.YamlFile.rollback_dir)
    current, undone = (Path(directory) / name for name in names)
    if not current.is_dir():
        raise UsageError(f"cannot migrate {directory}: it has no directory {current.name}")
    files = [data_types.files_by_time(str(path)) if path.is_dir() else [] for path in (current, undone)]
    documents = [read_documents(paths) if paths else [] for paths in files]
    return documents[0], documents[1]


class _Piece(NamedTuple):
    """A part of an export.

    head       the unit's fields before its instances, None if an earlier piece had them
    instances  the next documents of the unit
    tail       the unit's fields after its instances
    """

    head: dict[str, Any] | None
    instances: Sequence[object]
    tail: dict[str, Any]


@command(
    "export",
    examples="lmaps export --yaml > state.yaml\nlmaps export web --json --at @~1\n"
    "lmaps export --history --output all.yaml\nlmaps export --tree DIR",
)
@click.argument("units", metavar="[UNIT]...", nargs=-1, shell_complete=complete_units)
@click.option("--yaml", "form", flag_value="yaml", help="One YAML stream: a head, then a document per unit (default).")
@click.option("--json", "form", flag_value="json", help="One JSON object.")
@click.option("--tree", metavar="DIR", help="The original's files below DIR/UNIT: current/ and rollback/.")
@click.option("--at", metavar="REV", help="The state at that time: r41, @~2, applied, or a time.")
@click.option("--history", is_flag=True, help="With every changeset: an empty daemon can import it.")
@click.option("--reveal", is_flag=True, default=None, help="With secrets, else they are masked.")
@click.option("--output", metavar="FILE", help="Write to FILE, whole or not at all, mode 0600.")
def export(
    session: Session,
    units: tuple[str, ...],
    form: str | None,
    tree: str | None,
    at: str | None,
    history: bool,
    reveal: bool | None,
    output: str | None,
) -> None:
    """Write the stored documents as they were given, of all units or of those named."""
    if tree is not None and (form or output is not None):
        raise UsageError("a tree is not one file: --tree goes alone")
    if history and (at is not None or tree is not None):
        raise UsageError("a history is neither of one revision nor a tree: --history goes alone")
    if "" in (tree, output):
        raise UsageError("the name '' is no file: name a directory with --tree or a file with --output")
    exported = Export(session, units, at, history=history, reveal=reveal)
    if tree is not None:
        output_path(tree)  # raises for the link of somebody else
        _write_tree(Path(tree), exported.whole())
    else:
        as_json = (form or session.format) in ("json", "pretty")
        pieces = exported.pieces()
        first = list(islice(pieces, 1))  # a request that is refused leaves no half of an export behind
        texts = (_json_texts if as_json else _yaml_texts)(chain(first, pieces))
        if output is not None:
            write_whole(output_path(output), (text.encode() for text in texts))
        else:
            for text in texts:
                session.write(text)
    session.print_message(str(exported))


class Export:
    """The units as the daemon sends them, page by page: together the state of one moment.

    ``unit_count``, ``count`` (of instances) and ``revision`` are what has come so far.
    """

    def __init__(
        self, session: Session, units: Sequence[str], at: str | None, *, history: bool, reveal: bool | None
    ) -> None:
        self.unit_count = self.count = 0
        self.revision: int | None = None
        self._session = session
        self._args = {"units": list(units), "at": at, "history": history, "reveal": reveal}

    def __str__(self) -> str:
        return f"exported {plural(self.unit_count, 'unit')}, {plural(self.count, 'instance')} at r{self.revision}"

    def whole(self) -> list[dict[str, Any]]:
        """Return all units at once, each with its undone documents."""
        return list(self._fetch(**self._args)["units"])

    def pieces(self) -> Iterator[_Piece]:
        """Yield the units page by page. With the history a unit comes in one piece."""
        extra = self._fetch(limit=None if self._args["history"] else PAGE_DOCUMENTS, **self._args)
        previous: str | None = None
        while True:
            for row in extra["units"]:
                name = row["unit"]
                yield _piece(row, first=name != previous)
                previous = name
            if not extra.get("next"):
                return
            # The next page names the revisions of the first, so that later changes do not get into it.
            extra = self._fetch(limit=PAGE_DOCUMENTS, **self._args | {"at": None} | extra["next"])

    def _fetch(self, **args: Any) -> dict[str, Any]:
        extra = self._session.call("export", **args).extra
        rows = extra["units"]
        if self.revision is None:
            self.revision = extra["revision"]
        # A page that starts after a document goes on with the unit of the page before.
        self.unit_count += len(rows) - (1 if args.get("after") and rows else 0)
        self.count += sum(len(row["instances"]) for row in rows)
        return extra


def _piece(row: dict[str, Any], *, first: bool) -> _Piece:
    tail = {name: row[name] for name in HISTORY_FIELDS if name in row}
    head = {name: value for name, value in row.items() if name not in ("instances", "undone", *HISTORY_FIELDS)}
    return _Piece(head if first else None, row["instances"], tail)


def _yaml_texts(pieces: Iterator[_Piece]) -> Iterator[str]:
    """Yield the text of a stream of YAML documents: a head, then one for each unit."""
    yield f"---\n{fast_yaml.dump(HEAD)}"
    empty_list = " []\n"
    end = ""  # what the list of instances still needs: it has no items as long as none has come
    for head, instances, tail in pieces:
        if head is not None:
            yield f"{end}---\n{fast_yaml.dump(head)}instances:"
            end = empty_list
        if instances:
            yield ("\n" if end else "") + fast_yaml.items(instances)
            end = ""
        if tail:
            yield end + fast_yaml.dump(tail)
            end = ""
    yield end


def _json_texts(pieces: Iterator[_Piece]) -> Iterator[str]:
    """Yield the text of one JSON object."""
    # Objects are left open, by cutting off their last brace, to be written page by page.
    yield f'{json_text(HEAD)[:-1]}, "units": ['
    end, separator = "", ""
    for head, instances, tail in pieces:
        if head is not None:
            yield f'{end}{json_text(head)[:-1]}, "instances": ['
            separator = ""
        if instances:
            yield separator + json_text(instances)[1:-1]
            separator = ", "
        end = f"]{', ' + json_text(tail)[1:-1] if tail else ''}}}, "
    yield f"{end.removesuffix(', ')}]}}\n"


def _write_tree(directory: Path, units: Sequence[dict[str, Any]]) -> None:
    """Write a directory per unit in the original's form. Raises `UsageError` rather than touch one that exists."""
    for unit in units:
        name, type_name = unit["unit"], unit["type"]
        root = directory / name
        if root.exists():
            raise UsageError(f"cannot export to {root}: it exists already")
        try:
            store = data_types.get_data_type_by_name(type_name)(store_root=str(root), store_key=unit["store_key"])
            _store_documents(store, unit["instances"])
            # The files sort by the time of the rollback: what redo restores first is rolled back last.
            for document in reversed(unit["undone"]):
                store.new_store(document)
                store.rollback()
        except OSError as error:
            raise UsageError(f"cannot write {root}: {error.strerror}") from error


def _store_documents(store: "data_types.DataStore", documents: Iterable[dict[str, Any]]) -> None:
    for document in documents:
        store.new_store(document)
