"""The differences between two documents, path by path; and three-way merging by path.

Objects are compared property by property, arrays of equal length item by item; everything else as a whole. Paths are
written as JSON pointers (RFC 6901), lists of differences as JSON patches (RFC 6902).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lmaps.util.jsonio import JsonObject, canonical

Path = tuple[str | int, ...]


class Missing:
    """Stands for a value where there is none: None is JSON's null, which is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


class Difference(NamedTuple):
    """One place where two documents differ; `MISSING` where one of them has nothing."""

    path: Path
    before: object
    after: object

    def to_json(self) -> JsonObject:
        """Return ``{"path": "/tls", "before": false, "after": true}``, without a value that is `MISSING`."""
        row = {"path": pointer(self.path), "before": self.before, "after": self.after}
        return {name: value for name, value in row.items() if value is not MISSING}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Difference":
        """Return the difference that `to_json` has written."""
        return cls(parse_pointer(row["path"]), row.get("before", MISSING), row.get("after", MISSING))

    def to_patch(self, *above: str) -> JsonObject:
        """Return the operation of a JSON patch that makes ``before`` into ``after``, in a document below ``above``."""
        path = pointer((*above, *self.path))
        if self.after is MISSING:
            return {"op": "remove", "path": path}
        return {"op": "add" if self.before is MISSING else "replace", "path": path, "value": self.after}


class Clash(Exception):
    """Raised for a path that a merge cannot change: its value is ``got`` instead of ``expected``."""

    def __init__(self, path: Path, expected: object, got: object) -> None:
        super().__init__(pointer(path))
        self.path, self.expected, self.got = path, expected, got


def same(one: object, other: object) -> bool:
    """Return whether two values are the same to JSON: 1, 1.0 and true all differ."""
    if one is MISSING or other is MISSING:
        return one is other
    return canonical(one) == canonical(other)


def differences(before: object, after: object, at: Path = ()) -> Iterator[Difference]:
    """Yield the differences in the order of ``before``; properties that are new in ``after`` come last."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from differences(before.get(key, MISSING), after.get(key, MISSING), (*at, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, (*at, index))
    elif not same(before, after):
        yield Difference(at, before, after)


def leaves(value: object, at: Path = (), *, whole: object = MISSING) -> Iterator[tuple[Path, object]]:
    """Yield each innermost value of a document with its path. An array without objects in it is one value.

    The object ``whole`` is one too, wherever it stands.
    """
    if isinstance(value, dict) and value and value is not whole:
        for key, below in value.items():
            yield from leaves(below, (*at, key), whole=whole)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, below in enumerate(value):
            yield from leaves(below, (*at, index), whole=whole)
    else:
        yield at, value


def look_up(value: object, path: Sequence[str | int]) -> object:
    """Return the value at ``path``, `MISSING` if there is none."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(str(key), MISSING)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return MISSING
    return value


def changed(document: object, changes: Sequence[Difference]) -> object:
    """Return a copy of ``document`` in which each path has its value ``after``; missing objects on the way are made.

    Raises `Clash` where a path leads through a value that is neither object nor array.
    """
    result = copy.deepcopy(document)
    for change in changes:
        _put(result, change)
    return result


def merged(document: object, changes: Sequence[Difference]) -> object:
    """Return a copy of ``document`` with ``changes`` made.

    Raises `Clash` if a value is neither what it was ``before`` the change nor what it is to be ``after``.
    """
    for change in changes:
        got = look_up(document, change.path)
        if not same(got, change.before) and not same(got, change.after):
            raise Clash(change.path, change.before, got)
    return changed(document, changes)


def _put(document: Any, change: Difference) -> None:
    *above, last = change.path
    target = document
    for depth, key in enumerate(above):
        if isinstance(target, dict) and str(key) not in target:
            if change.after is MISSING:
                return
            target[str(key)] = {}
        target = look_up(target, (key,))
        if not isinstance(target, dict | list):
            raise Clash(tuple(above[: depth + 1]), MISSING, target)
    if isinstance(target, dict):
        if change.after is MISSING:
            target.pop(str(last), None)
        else:
            target[str(last)] = change.after
    elif change.after is MISSING or look_up(target, (last,)) is MISSING:
        raise Clash(change.path, change.before, look_up(target, (last,)))
    else:
        target[int(last)] = change.after


def pointer(path: Sequence[str | int]) -> str:
    """Return a path as a JSON pointer: ``/vhosts/0/port``."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)


def parse_pointer(text: str) -> Path:
    """Return the path that a JSON pointer names; a part of digits alone is an index.

    Raises ValueError if it does not begin with a slash.
    """
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no path: expected /PROPERTY")
    # ~1 first: ~01 stands for ~1, not for a slash
    parts = [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]
    return tuple(int(part) if part.isdecimal() else part for part in parts)
