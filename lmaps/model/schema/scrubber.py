"""Masks secrets in what a tool prints: in lines of output, and in events."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from lmaps.util.jsonio import JsonObject

HIDDEN = "(secret)"
"""The mask of a secret in text."""
MIN_SCRUBBED = 6
"""Characters of the shortest secret that is masked in text: a shorter one could be part of half the words."""


class Scrubber:
    """Masks ``values`` in a text or in an event: as they are, as JSON and Python print them, and each of their lines.

    ``vocabulary`` are the names of fields and the kinds of events, which stay. The time does not depend on the number
    of values.
    """

    def __init__(self, values: Iterable[object] = (), vocabulary: Collection[str] = ()) -> None:
        self._words = set(_words(values))
        self._vocabulary = vocabulary
        self._lengths: dict[str, set[int]] = {}
        for word in self._words:
            self._lengths.setdefault(word[:MIN_SCRUBBED], set()).add(len(word))

    def text(self, text: str) -> str:
        """Return ``text`` with the values masked in it, the longest first."""
        parts, done = [], 0
        for at in range(len(text) - MIN_SCRUBBED + 1 if self._words else 0):
            if text[at : at + MIN_SCRUBBED] in self._lengths and at >= done:
                possible = sorted(self._lengths[text[at : at + MIN_SCRUBBED]], reverse=True)
                long = next((length for length in possible if text[at : at + length] in self._words), 0)
                if long:
                    parts += [text[done:at], HIDDEN]
                    done = at + long
        return "".join([*parts, text[done:]])

    def event(self, event: JsonObject) -> JsonObject:
        """Return an event with the values masked in its texts and names, and each number that is one of them.

        Its structure stays: scrubbing the text of the JSON could leave something that is no JSON any more.
        """
        masked: JsonObject = self._masked(event)
        kind = event.get("event")
        return masked | {"event": kind} if isinstance(kind, str) and kind in self._vocabulary else masked

    def _masked(self, value: object) -> Any:
        if isinstance(value, dict):
            names = {name: name if name in self._vocabulary else self.text(name) for name in value}
            return {names[name]: self._masked(below) for name, below in value.items()}
        if isinstance(value, list):
            return [self._masked(below) for below in value]
        if isinstance(value, str):
            return self.text(value)
        if type(value) in (int, float):
            shown = json.dumps(value)
            return value if self.text(shown) == shown else HIDDEN
        return value


def _words(values: Iterable[object]) -> Iterator[str]:
    """Yield the texts by which ``values`` are recognised, without those that are too short."""
    for value in (scalar for document in values for scalar in _scalars(document)):
        # Output is scrubbed line by line: a secret of several lines never occurs as a whole.
        texts = [value, *value.splitlines()] if isinstance(value, str) else [json.dumps(value)]
        for text in texts:
            yield from (form for form in _forms(text) if len(form) >= MIN_SCRUBBED)


def _scalars(value: object) -> Iterator[object]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if parts is None:
        yield value
    for part in parts or ():
        yield from _scalars(part)


def _forms(text: str) -> tuple[str, ...]:
    """Return how tools print a text: as it is, as JSON, and as Python does within lists and dicts (Ansible's items)."""
    # Python escapes an apostrophe only beside a quotation mark, which may be elsewhere in the printed value.
    as_python = [show(f"{text}'\"")[1:-4] for show in (repr, ascii)]
    as_json = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    return (text, *as_json, *as_python, *(form.replace("\\'", "'") for form in as_python))
