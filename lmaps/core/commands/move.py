"""``export``."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from lmaps.core.commands.output import render
from lmaps.core.commands.session import Session, command, complete_units
from lmaps.errors import UsageError

VERSION = 1
"""Version of the form in which state is exported."""


@command(
    "export",
    examples="lmaps export --yaml > state.yaml\nlmaps export web --json\nlmaps export --tree DIR",
)
@click.argument("units", metavar="[UNIT]...", nargs=-1, shell_complete=complete_units)
@click.option("--yaml", "form", flag_value="yaml", help="One YAML stream: a head, then a document per unit (default).")
@click.option("--json", "form", flag_value="json", help="One JSON object.")
@click.option("--tree", metavar="DIR", help="The original's files below DIR/UNIT: current/ and rollback/.")
@click.option("--output", metavar="FILE", help="Write to FILE, whole or not at all, mode 0600.")
def export(session: Session, units: tuple[str, ...], form: str | None, tree: str | None, output: str | None) -> None:
    """Write out the documents that were given, of all units or of those named."""
    if tree is not None and (form or output is not None):
        raise UsageError("cannot write a tree as one file: --tree goes alone")
    if "" in (tree, output):
        raise UsageError("cannot write to '': name a directory with --tree or a file with --output")
    reply = session.call("export", units=list(units))
    if tree is not None:
        _write_tree(Path(tree), reply.extra["units"])
    else:
        text = _text(reply.extra, form or ("json" if session.format in ("json", "pretty") else "yaml"))
        if output is not None:
            write_whole(Path(output).resolve(), text)
        else:
            session.write(text)
    session.words(reply.message)


def _text(extra: dict[str, Any], form: str) -> str:
    head = {"lmaps": "export", "version": VERSION, "revision": extra["revision"]}
    units = [{name: value for name, value in unit.items() if name != "undone"} for unit in extra["units"]]
    if form == "json":
        return render(head | {"units": units}, "json")
    return "".join(f"---\n{render(document, 'yaml')}" for document in (head, *units))


def write_whole(path: Path, text: str) -> None:
    """Write ``path`` aside, make it durable, and move it into place; `UsageError` if that cannot be done.

    What is no file (a directory, a device, a pipe) is never replaced.
    """
    aside = _name_aside(path)
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _name_aside(path: Path) -> Path:
    try:
        special = path.exists() and not path.is_file()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    if special:
        raise UsageError(f"cannot write {path}: it is no file; without --output data goes to stdout")
    return path.with_name(f".{path.name}.{os.getpid()}")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_tree(directory: Path, units: Sequence[dict[str, Any]]) -> None:
    """A directory per unit in the original's form; what is there already is never touched."""
    from lmaps.core.data import get_data_type_by_name  # noqa: PLC0415 (the other forms do without)

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
