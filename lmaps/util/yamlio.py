"""YAML as lMaPS reads and writes it: the values of JSON, written in YAML, and nothing guessed.

One pass over the events of a text builds the values. Refused, with line and column, are values that are too deep, too
large or tagged, aliases where none are allowed, and keys that are duplicates or no strings. Plain words are strings
(``no``, ``0777``, ``12:30``, ``2026-11-23``) but for null, true, false and decimal numbers.
"""

import bisect
import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lmaps.errors import DocumentRefused, Finding
from lmaps.util import jsonio
from lmaps.util.jsonio import At
from lmaps.util.terminal import visible_lines
from lmaps.util.text import scalar

UNIT_EVENTS, INSTANCE_EVENTS = 50_000, 1_000_000
"""The most events of a unit file and of a file of instances: a scalar is one, a mapping or a sequence two."""
MAX_DEPTH = 64
"""Levels of nesting; building values recurses, and must not exhaust the stack."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

Place = tuple[int, int]
Places = dict[tuple[At, bool], Place]
"""The places of values, by their paths; with True in the second element the places of keys."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text; the text is kept to find the places of its parts."""

    value: Any
    file: str | None
    _text: str
    _number: int

    def place(self, at: Sequence[str | int] = (), *, on_key: bool = False) -> Place:
        """Return line and column (from 1) of the value at ``at`` or of its key.

        If it does not exist, return the place of the innermost enclosing value.
        """
        return _nearest_place(self._places(), at, on_key=on_key)

    def locate(self, finding: Finding) -> Finding:
        """Return ``finding`` with its file, line and column."""
        return self.locate_all([finding])[0]

    def locate_all(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return ``findings`` with their places, found in one pass over the text."""
        places = self._places()
        located = [(finding, _nearest_place(places, finding.at, on_key=finding.on_key)) for finding in findings]
        return [finding._replace(file=self.file, line=line, column=column) for finding, (line, column) in located]

    def _places(self) -> Places:
        # places are only needed for errors: keeping them while loading would double its time
        builder = _Builder(self._text, self.file, 2 * INSTANCE_EVENTS, aliases=True, places=True)
        return next(places for number, (_, places) in enumerate(builder.documents()) if number == self._number)


class JsonDocument(Document):
    """A document of JSON. Not all JSON is YAML: an emoji in escapes is none, nor is a line that begins with a tab."""

    __slots__ = ()

    def _places(self) -> Places:
        line_starts = [0, *(match.end() for match in re.finditer("\n", self._text))]
        places: Places = {}
        for key, offset in jsonio.places(self._text).items():
            line = bisect.bisect_right(line_starts, offset)
            places[key] = (line, offset - line_starts[line - 1] + 1)
        return places


def _nearest_place(places: Places, at: Sequence[str | int], *, on_key: bool) -> Place:
    for length in range(len(at), 0, -1):
        place = places.get((tuple(at[:length]), on_key and length == len(at)))
        if place is not None:
            return place
    return places[((), False)]


def load(
    text: str | bytes, *, file: str | None = None, events: int = INSTANCE_EVENTS, aliases: bool = False
) -> list[Document]:
    """Return the documents in ``text``, without the empty ones.

    Raises `DocumentRefused` with the place of the error. With ``aliases`` an alias becomes a copy of its anchor.
    """
    decoded = _decoded(text, file)
    values = _Builder(decoded, file, events, aliases=aliases).documents()
    documents = [Document(value, file, decoded, number) for number, (value, _) in enumerate(values)]
    return [document for document in documents if document.value is not None]


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
    """Builds the values of a text from its events, and with ``places`` keeps the place of every part."""

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

    def documents(self) -> Iterator[tuple[object, Places]]:
        """Yield each document's value and places."""
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
            raise self._refuse(
                "a tag is not allowed: write plain values, and in quotes a text that begins with !", event.start_mark
            )
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
            raise self._refuse(
                "an alias is not allowed: write the value out, and in quotes a text that begins with *",
                event.start_mark,
            )
        if event.anchor not in self._anchors:
            raise self._refuse(
                "an alias names nothing before it: write a text that begins with * in quotes", event.start_mark
            )
        value, size = self._anchors[event.anchor]
        # the copy counts in full: else nine lines of aliases make a billion values
        self._count += size
        if self._count > self._limit:
            raise self._refuse(f"it is too large: more than {self._limit:,} parts", event.start_mark)
        return copy.deepcopy(value)

    def _sequence(self, at: At, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*at, len(items)) if self._keep_places else at, depth + 1))
        return items

    def _mapping(self, at: At, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, mapping)
            inner = at
            if self._keep_places:
                inner = (*at, key)
                self._places[inner, True] = (event.start_mark.line + 1, event.start_mark.column + 1)
            mapping[key] = self._value(self._next(), inner, depth + 1)
        return mapping

    def _key(self, event: Any, mapping: dict[str, Any]) -> str:
        if not isinstance(event, yaml.ScalarEvent) or self._is_tagged(event):
            raise self._refuse("a key is no string", event.start_mark)
        key: str = event.value
        if event.implicit[0]:
            if key == "<<":
                raise self._refuse("merge keys (<<) are not supported: write the properties out", event.start_mark)
            if not isinstance(self._scalar(event), str):
                raise self._refuse(f"the key {key} is no string: quote it", event.start_mark)
        if key in mapping:
            raise self._refuse(f"the key {key[:80]!r} is given twice", event.start_mark)
        return key

    def _scalar(self, event: Any) -> object:
        text: str = event.value
        if not event.implicit[0]:
            return text
        try:
            return scalar(text)
        except ValueError as error:
            raise self._refuse(str(error), event.start_mark) from error


_AMBIGUOUS = re.compile(r"[-+]?(?:\.?[0-9][0-9_.,:eExXoObBa-fA-F+-]*|\.(?:inf|nan))\Z|<<\Z|=\Z", re.IGNORECASE)
"""Strings that some reader of YAML takes for a number or a special value; they are quoted."""


class _StrictDumper(_Dumper):  # type: ignore[misc]  # the base is chosen at run time
    """Writes values so that every reader of YAML, of 1.1 too, reads the same ones."""

    def ignore_aliases(self, _data: object) -> bool:
        """Write shared values out: `load` refuses aliases in instances."""
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    hidden = not text.isascii() and visible_lines(text) != text
    style = '"' if hidden or _AMBIGUOUS.match(text) or not (text.isprintable() or text.isascii()) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_StrictDumper.add_representer(str, _represent_text)


def dump(value: object, *, explicit_start: bool = False) -> str:
    """Return ``value`` as one YAML document in block style; the order of keys is kept."""
    return dump_all([value], explicit_start=explicit_start)


def dump_all(values: Iterable[object], *, explicit_start: bool = True) -> str:
    """Return ``values`` as a stream of YAML documents."""
    text: str = yaml.dump_all(
        values, Dumper=_StrictDumper, explicit_start=explicit_start, sort_keys=False, allow_unicode=True, width=120
    )
    # Such characters stand in double quotes only, where YAML has the same escapes.
    return visible_lines(text).removesuffix("...\n")  # PyYAML ends a document that is one scalar so
