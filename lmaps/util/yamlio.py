"""YAML as lMaPS reads and writes it: JSON's values in YAML's clothes, nothing guessed.

A text is never handed to a YAML loader: one pass over its events builds the values and refuses, with line and column,
what is too deep, too large, tagged, an alias where none is allowed, a key that stands twice or is no string. Plain
words stay strings (``no``, ``0777``, ``12:30``, ``2026-11-23``) but for null, true, false and decimal numbers.
"""

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lmaps.errors import DocumentRefused, Finding
from lmaps.util.text import scalar

UNIT_EVENTS, INSTANCE_EVENTS = 50_000, 1_000_000
"""Events (a scalar is one, a mapping two) that a unit file, and a file of instances, may have."""
MAX_DEPTH = 64

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

At = tuple[str | int, ...]
Place = tuple[int, int]
Places = dict[tuple[At, bool], Place]
"""The places of values, and (where the second is true) of keys."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text, with the way back to the place of each part."""

    value: Any
    file: str | None
    _text: str
    _number: int

    def place(self, at: Sequence[str | int] = (), *, on_key: bool = False) -> Place:
        """Line and column, from 1, of the value at ``at`` or of its key; of what encloses it if it is not there."""
        return _nearest_place(self._places(), at, on_key=on_key)

    def locate(self, finding: Finding) -> Finding:
        """``finding`` with the file, line and column that it is about."""
        return self.locate_all([finding])[0]

    def locate_all(self, findings: Iterable[Finding]) -> list[Finding]:
        """The same for many, in one pass over the text."""
        places = self._places()
        found = [(each, _nearest_place(places, each.at, on_key=each.on_key)) for each in findings]
        return [each._replace(file=self.file, line=line, column=column) for each, (line, column) in found]

    def _places(self) -> Places:
        builder = _Builder(self._text, self.file, 2 * INSTANCE_EVENTS, aliases=True, places=True)
        return next(places for number, (_, places) in enumerate(builder.documents()) if number == self._number)


def _nearest_place(places: Places, at: Sequence[str | int], *, on_key: bool) -> Place:
    for length in range(len(at), 0, -1):
        found = places.get((tuple(at[:length]), on_key and length == len(at)))
        if found is not None:
            return found
    return places[((), False)]


def load(
    text: str | bytes, *, file: str | None = None, events: int = INSTANCE_EVENTS, aliases: bool = False
) -> list[Document]:
    """The documents in ``text``; empty ones are passed over.

    Raises `DocumentRefused` with the place. With ``aliases`` an alias stands for a copy of what it names.
    """
    decoded = _decoded(text, file)
    built = _Builder(decoded, file, events, aliases=aliases).documents()
    found = [Document(value, file, decoded, number) for number, (value, _) in enumerate(built)]
    return [document for document in found if document.value is not None]


def _decoded(text: str | bytes, file: str | None) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _refusal("it is not UTF-8", file, (line, 1)) from error


def _refusal(reason: str, file: str | None, place: Place) -> DocumentRefused:
    finding = Finding(reason, file=file, line=place[0], column=place[1])
    return DocumentRefused(f"cannot read {finding.place if file else 'the document'}: {reason}", errors=[finding])


class _Builder:
    """Builds the values of a text from its events, and where asked the place of every part."""

    def __init__(self, text: str, file: str | None, limit: int, *, aliases: bool, places: bool = False) -> None:
        self._text = text
        self._file = file
        self._limit = limit
        self._aliases = aliases
        self._keep_places = places
        self._count = 0
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._places: Places = {}
        self._events: Iterator[Any] = iter(())

    def documents(self) -> Iterator[tuple[Any, Places]]:
        """Each document's value and places."""
        try:
            self._events = iter(yaml.parse(self._text, Loader=_Loader))
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    self._anchors, self._places = {}, {}
                    yield self._value(self._next(), (), 0), self._places
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._refuse(error.problem or "it is not YAML", mark) from error
        except yaml.reader.ReaderError as error:
            raise self._refuse(f"it holds a character that YAML does not allow ({error.reason})", None) from error

    def _next(self) -> Any:
        self._count += 1
        event = next(self._events)
        if self._count > self._limit:
            raise self._refuse(f"it is too large: more than {self._limit:,} parts", event.start_mark)
        return event

    def _refuse(self, reason: str, mark: Any) -> DocumentRefused:
        return _refusal(reason, self._file, (mark.line + 1, mark.column + 1) if mark else (1, 1))

    def _value(self, event: Any, at: At, depth: int) -> Any:
        if self._keep_places:
            self._places[at, False] = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if self._is_tagged(event):
            raise self._refuse(f"the tag {event.tag} is not allowed: write plain values", event.start_mark)
        if depth > MAX_DEPTH:
            raise self._refuse(f"it is nested deeper than {MAX_DEPTH}", event.start_mark)
        before = self._count
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(at, depth)
        else:
            value = self._mapping(at, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._count - before + 1)
        return value

    @staticmethod
    def _is_tagged(event: Any) -> bool:
        implicit = event.implicit if isinstance(event, yaml.CollectionStartEvent) else any(event.implicit)
        return event.tag is not None and not implicit

    def _alias(self, event: Any) -> Any:
        if not self._aliases:
            raise self._refuse(f"the alias *{event.anchor} is not allowed: write the value out", event.start_mark)
        if event.anchor not in self._anchors:
            raise self._refuse(f"the alias *{event.anchor} names nothing before it", event.start_mark)
        value, size = self._anchors[event.anchor]
        self._count += size
        if self._count > self._limit:
            raise self._refuse(f"it is too large: more than {self._limit:,} parts", event.start_mark)
        return copy.deepcopy(value)

    def _sequence(self, at: At, depth: int) -> list[Any]:
        made: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            made.append(self._value(event, (*at, len(made)) if self._keep_places else at, depth + 1))
        return made

    def _mapping(self, at: At, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, made)
            inner = at
            if self._keep_places:
                inner = (*at, key)
                self._places[inner, True] = (event.start_mark.line + 1, event.start_mark.column + 1)
            made[key] = self._value(self._next(), inner, depth + 1)
        return made

    def _key(self, event: Any, made: dict[str, Any]) -> str:
        if not isinstance(event, yaml.ScalarEvent) or self._is_tagged(event):
            raise self._refuse("a key is no string", event.start_mark)
        key: str = event.value
        if event.implicit[0]:
            if key == "<<":
                raise self._refuse("merge keys (<<) are not supported: write the properties out", event.start_mark)
            if not isinstance(self._scalar(event), str):
                raise self._refuse(f"the key {key} is no string: quote it", event.start_mark)
        if key in made:
            raise self._refuse(f"the key {key[:80]!r} stands twice", event.start_mark)
        return key

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:
            return text
        try:
            return scalar(text)
        except ValueError as error:
            raise self._refuse(str(error), event.start_mark) from error


_AMBIGUOUS = re.compile(r"[-+]?(?:\.?[0-9][0-9_.,:eExXoObBa-fA-F+-]*|\.(?:inf|nan))\Z|<<\Z|=\Z", re.IGNORECASE)
"""Strings that some reader of YAML takes for a number or for something special."""


class _StrictDumper(_Dumper):  # type: ignore[misc]  # the base is chosen at run time
    """Writes values so that every reader of YAML gets them back."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Write shared values out."""
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    style = '"' if _AMBIGUOUS.match(text) or not (text.isprintable() or text.isascii()) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_StrictDumper.add_representer(str, _represent_text)


def dump(value: Any, *, explicit_start: bool = False) -> str:
    """``value`` as one YAML document in block style, the order of keys kept."""
    return dump_all([value], explicit_start=explicit_start)


def dump_all(values: Iterable[Any], *, explicit_start: bool = True) -> str:
    """``values`` as a stream of YAML documents."""
    text: str = yaml.dump_all(
        values, Dumper=_StrictDumper, explicit_start=explicit_start, sort_keys=False, allow_unicode=True, width=120
    )
    return text.removesuffix("...\n")
