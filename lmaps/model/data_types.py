"""Data types: the form in which a handler gets the instances of a unit.

    YamlFile     one mapping, all instances merged
    YamlList     a list
    YamlKeyList  {store_key: [...]}
    YamlKeyDict  {store_key: {...}}, merged; with a primary key a dict of dicts keyed by it

Merges are by top-level key, and the newest instance wins; reversed, the newest comes first and the oldest wins. A data
type made with ``rows`` shapes them. One made with a ``store_root`` works on the original's tree of YAML files in that
directory: ``current/`` has a file per instance, ``rollback/`` those that were rolled back, named by time.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from lmaps.errors import NotFound, StoreError
from lmaps.util import jsonio, yamlio
from lmaps.util.text import nearest

Row = dict[str, Any]


class DataStore:
    """Base of the data types: keeps the instances, in memory or in a tree of files.

    Keywords: ``rows`` (documents, oldest first), or ``store_root`` (a directory); ``store_key``, ``primary_key``.
    """

    args: tuple[object, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 (documented, and never changed: each instance has its own)
    store_key = "root"
    store_root: str | None = None
    current_dir: ClassVar[str] = "current"
    rollback_dir: ClassVar[str] = "rollback"

    def __init__(self, *args: object, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.store_key = kwargs.get("store_key") or self.store_key
        self.store_root = kwargs.get("store_root")
        self.primary_key: str | None = kwargs.get("primary_key")
        self._rows: list[Row] = list(kwargs.get("rows", ()))
        self.setup()

    def setup(self) -> None:
        """Prepare the data type; called once, by the constructor."""

    def rows(self) -> list[Row]:
        """Return the documents, oldest first."""
        if self.store_root is None:
            return list(self._rows)
        return [row for path in self.store_files() for row in _read(path)]

    def store_files(self) -> list[str]:
        """Return the files in ``current``, oldest first."""
        return files_by_time(self.get_current_store_dir())

    def get_current_store_dir(self) -> str:
        """Return the directory of the current instances."""
        return str(self._root() / self.current_dir)

    def get_rollback_store_dir(self) -> str:
        """Return the directory of the instances that were rolled back."""
        return str(self._root() / self.rollback_dir)

    def _root(self) -> Path:
        if self.store_root is None:
            raise StoreError("cannot use a tree of files: the data type was made without a store_root")
        return Path(self.store_root)

    def new_store(self, data: Row) -> str:
        """Add ``data`` as the newest instance; return its file, or an empty text without a ``store_root``."""
        if self.store_root is None:
            self._rows.append(data)
            return ""
        return _write(Path(self.get_current_store_dir()), data)

    def rollback(self) -> Row:
        """Remove the newest instance and return it, an empty mapping if there is none."""
        if self.store_root is None:
            return self._rows.pop() if self._rows else {}
        files = self.store_files()
        if not files:
            return {}
        newest = Path(files[-1])
        rows = _read(str(newest))
        newest.rename(Path(self.get_rollback_store_dir()) / newest.name)
        return rows[0] if rows else {}

    def exists(self, data: Row) -> bool:
        """Return whether there is an equal instance."""
        identity = jsonio.canonical(data)
        return any(jsonio.canonical(row) == identity for row in self.rows())

    def state(self, reverse: bool = False) -> Any:
        """Return all instances in the form of the data type."""
        raise NotImplementedError


class YamlFile(DataStore):
    """One mapping: all instances merged."""

    def setup(self) -> None:
        """Make the directories of the tree, if there is a ``store_root``."""
        if self.store_root is not None:
            for directory in (self.get_current_store_dir(), self.get_rollback_store_dir()):
                Path(directory).mkdir(parents=True, exist_ok=True)

    def exists(self, data: Row) -> bool:
        """Return whether everything in ``data`` is part of the merged state already."""
        merged = _merged(self.rows())
        return all(key in merged and _same(merged[key], value) for key, value in data.items())

    def state(self, reverse: bool = False) -> Any:
        """Return the merged mapping."""
        return _merged(_ordered(self.rows(), reverse))


class YamlList(YamlFile):
    """A list of the instances."""

    def exists(self, data: Row) -> bool:
        """Return whether an equal instance is in the list."""
        return DataStore.exists(self, data)

    def state(self, reverse: bool = False) -> Any:
        """Return the list, newest first if reversed."""
        return _ordered(self.rows(), reverse)


class YamlKeyList(YamlList):
    """A list of the instances, under one key."""

    def state(self, reverse: bool = False) -> Any:
        """Return ``{store_key: [...]}``."""
        return {self.store_key: _ordered(self.rows(), reverse)}


class YamlKeyDict(YamlKeyList):
    """One mapping under one key: the instances merged, or by their primary key."""

    def state(self, reverse: bool = False) -> Any:
        """Return ``{store_key: {...}}``."""
        rows = _ordered(self.rows(), reverse)
        if self.primary_key is None:
            return {self.store_key: _merged(rows)}
        return {self.store_key: {str(row[self.primary_key]): row for row in rows}}


DATA_TYPES: dict[str, type[DataStore]] = {
    "YamlFile": YamlFile,
    "YamlList": YamlList,
    "YamlKeyList": YamlKeyList,
    "YamlKeyDict": YamlKeyDict,
}


def get_data_type_by_name(name: str) -> type[DataStore]:
    """Return the data type of this name; raise `NotFound` with the nearest name."""
    if name not in DATA_TYPES:
        near = nearest(name, DATA_TYPES)
        raise NotFound(f"cannot find the data type {name!r}" + (f"; did you mean {near}?" if near else ""))
    return DATA_TYPES[name]


def _ordered(rows: list[Row], reverse: bool) -> list[Row]:
    return rows[::-1] if reverse else rows


def _merged(rows: Iterable[Row]) -> Row:
    merged: Row = {}
    for row in rows:
        merged |= row
    return merged


def _same(one: object, other: object) -> bool:
    return jsonio.canonical(one) == jsonio.canonical(other)


def files_by_time(directory: str) -> list[str]:
    """Return the files of a directory by the time in their names."""
    paths = [path for path in Path(directory).iterdir() if path.is_file() and not path.name.startswith(".")]
    # as numbers: the original wrote 1546300800.12 and 1546300800.1, which sort wrongly as texts
    return [str(path) for path in sorted(paths, key=lambda path: (_moment(path.name), path.name))]


def _moment(name: str) -> float:
    stem = name.removesuffix(".yaml")
    try:
        return float(stem)
    except ValueError:
        return float("inf")


def _read(path: str) -> list[Row]:
    return [document.value for document in yamlio.load(Path(path).read_bytes(), file=path)]


def _write(directory: Path, data: Row) -> str:
    """Write ``data`` to a new file whose name sorts after all others, and return its path."""
    # two files within one tick of the clock, or a clock set back, would else change their order
    newest = max((_moment(path.name) for path in directory.iterdir()), default=0.0)
    moment = max(time.time(), (newest if newest != float("inf") else 0.0) + 0.000001)
    path = directory / f"{moment:.6f}.yaml"
    # renamed when it is complete: a reader never finds half a file
    temporary = directory / f".{path.name}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(yamlio.dump(data))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    return str(path)
