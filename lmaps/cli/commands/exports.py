"""``export``: asked for in pages, written as they come."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lmaps.cli.files import write_whole
from lmaps.cli.session import Session, command, complete_units
from lmaps.errors import UsageError
from lmaps.util import fast_yaml
from lmaps.util.text import plural

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
