"""``import``, ``migrate``."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lmaps.cli.commands.instances import send_documents, tell_write
from lmaps.cli.diffs import tell_dry_run
from lmaps.cli.documents import Given, read_documents, write_whole
from lmaps.cli.session import Session, Write, command, complete_units, write_options
from lmaps.errors import DocumentRefused, Finding, UsageError
from lmaps.util import fast_yaml
from lmaps.util.text import plural


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


VERSION = 1
"""Version of the form in which state is exported."""
PAGE = 5000
"""Documents that are asked for at once."""
HEAD = {"lmaps": "export", "version": VERSION}
INSTANCES = "instances"
HISTORY = ("definitions", "history")

Pieces = Iterator[tuple[dict[str, Any] | None, Sequence[Any], dict[str, Any]]]
"""What is said of a unit before its documents, None if that has been said; some documents; what is said after them."""


@command(
    "export",
    examples="lmaps export --yaml > state.yaml\nlmaps export web --json --at @~1\n"
    "lmaps export --history --output all.yaml\nlmaps export --tree DIR",
)
@click.argument("units", metavar="[UNIT]...", nargs=-1, shell_complete=complete_units)
@click.option("--yaml", "form", flag_value="yaml", help="One YAML stream: a head, then a document per unit (default).")
@click.option("--json", "form", flag_value="json", help="One JSON object.")
@click.option("--tree", metavar="DIR", help="The original's files below DIR/UNIT: current/ and rollback/.")
@click.option("--at", metavar="REV", help="As it was then: r41, @~2, applied, or a time.")
@click.option("--history", is_flag=True, help="With every changeset: what an empty daemon can take in.")
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
    """Write out the documents that were given, of all units or of those named."""
    if tree is not None and (form or output is not None):
        raise UsageError("cannot write a tree as one file: --tree goes alone")
    if history and (at is not None or tree is not None):
        raise UsageError("cannot export the history at one revision or as a tree: --history goes alone")
    if "" in (tree, output):
        raise UsageError("cannot write to '': name a directory with --tree or a file with --output")
    exported = Exported(session, units, at, history=history, reveal=reveal)
    if tree is not None:
        _write_tree(Path(tree), exported.whole())
    else:
        as_json = (form or session.format) in ("json", "pretty")
        texts = (_json if as_json else _yaml)(exported.pieces())
        if output is not None:
            write_whole(Path(output).resolve(), (text.encode() for text in texts))
        else:
            for text in texts:
                session.write(text)
    session.words(f"exported {plural(exported.units, 'unit')}, {plural(exported.count, 'instance')} {exported.at}")


class Exported:
    """What the daemon tells of the units, and how much of it has come: together it is the state of one moment."""

    def __init__(
        self, session: Session, units: Sequence[str], at: str | None, *, history: bool, reveal: bool | None
    ) -> None:
        self.units, self.count, self.at = 0, 0, ""
        self._session = session
        self._args = {"units": list(units), "at": at, "history": history, "reveal": reveal}

    def whole(self) -> list[dict[str, Any]]:
        """All units at once, with what redo would bring."""
        return list(self._ask(**self._args)["units"])

    def pieces(self) -> Pieces:
        """The units, some documents after the other. With the whole history all of a unit is asked for at once."""
        return self._pieces(self._ask(limit=None if self._args["history"] else PAGE, **self._args))

    def _pieces(self, extra: dict[str, Any]) -> Pieces:
        before: str | None = None
        while True:
            for row in extra["units"]:
                yield _piece(row, row["unit"] != before)
                before = row["unit"]
            if not extra.get("next"):
                return
            extra = self._ask(limit=PAGE, **self._args | {"at": None} | extra["next"])

    def _ask(self, **args: Any) -> dict[str, Any]:
        extra = self._session.call("export", **args).extra
        self.at = self.at or f"at r{extra['revision']}"
        self.units += sum(1 for row in extra["units"] if not args.get("after") or row is not extra["units"][0])
        self.count += sum(len(row[INSTANCES]) for row in extra["units"])
        return extra


def _piece(row: dict[str, Any], first: bool) -> tuple[dict[str, Any] | None, Sequence[Any], dict[str, Any]]:
    history = {name: row[name] for name in HISTORY if name in row}
    head = {name: value for name, value in row.items() if name not in (INSTANCES, "undone", *HISTORY)}
    return head if first else None, row[INSTANCES], history


def _yaml(pieces: Pieces) -> Iterator[str]:
    """A stream of YAML documents: a head, then one for each unit."""
    yield f"---\n{fast_yaml.dump(HEAD)}"
    empty = False
    for head, documents, history in pieces:
        if head is not None:
            yield f"{_none(empty)}---\n{fast_yaml.dump(head)}{INSTANCES}:"
            empty = True
        if documents:
            yield ("\n" if empty else "") + fast_yaml.items(documents)
            empty = False
        if history:
            yield _none(empty) + fast_yaml.dump(history)
            empty = False
    yield _none(empty)


def _none(empty: bool) -> str:
    """What ends a list of documents that has none."""
    return " []\n" if empty else ""


def _json(pieces: Pieces) -> Iterator[str]:
    """One JSON object."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    yield f'{encode(HEAD)[:-1]}, "units": ['
    end, between = "", ""
    for head, documents, history in pieces:
        if head is not None:
            yield f'{end}{encode(head)[:-1]}, "{INSTANCES}": ['
            between = ""
        if documents:
            yield between + encode(documents)[1:-1]
            between = ", "
        end = f"]{', ' + encode(history)[1:-1] if history else ''}}}, "
    yield f"{end.removesuffix(', ')}]}}\n"


def _write_tree(directory: Path, units: Sequence[dict[str, Any]]) -> None:
    """A directory per unit in the original's form; what is there already is never touched."""
    from lmaps.model.data_types import get_data_type_by_name  # noqa: PLC0415 (the other forms do without)

    for unit in units:
        root = directory / unit["unit"]
        if root.exists():
            raise UsageError(f"cannot export to {root}: it is there already")
        try:
            store = get_data_type_by_name(unit["type"])(store_root=str(root), store_key=unit["store_key"])
            _fill(store, unit["instances"])
            for document in reversed(unit["undone"]):
                store.new_store(document)
                store.rollback()
        except OSError as error:
            raise UsageError(f"cannot write {root}: {error.strerror}") from error


def _fill(store: Any, documents: Iterable[dict[str, Any]]) -> None:
    for document in documents:
        store.new_store(document)
