"""Output of a program as lines: whatever it prints, memory stays bounded and nothing blocks.

The first MiB is handed on as it comes. Of what follows the last MiB is kept and handed on at the end, after a note
that counts what lies between. A line longer than 64 KiB is cut into several; bytes that are not UTF-8 are replaced.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from lmaps.util import times

HEAD = TAIL = 1024 * 1024
"""Bytes that are kept of the beginning and of the end."""
LONGEST = 64 * 1024
"""Characters of one line."""
EDGE = 256 * 1024
"""Bytes that go with what is left out of the middle of a line: as many as a secret can have."""

T = TypeVar("T", str, bytes)


class Line(NamedTuple):
    """A line of output, an event, or a note of lMaPS itself (``stream``: output, event, note)."""

    stream: str
    text: str
    at: str
    event: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The line as it goes over the wire."""
        told: dict[str, Any] = {"at": self.at, "stream": self.stream, "text": self.text}
        return told if self.event is None else told | {"event": self.event}


Sink = Callable[[Line], None]


def note(text: str) -> Line:
    """A line of lMaPS itself."""
    return Line("note", text, times.now())


class LineReader:
    """Cuts a stream of bytes into lines, and one that is longer than ``longest`` bytes into several."""

    def __init__(self, longest: float = LONGEST) -> None:
        self.rest = b""
        self._longest = longest

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        if max(map(len, (*lines, self.rest))) < self._longest:
            return lines
        longest = int(self._longest)
        lines = [part for line in lines for part in pieces(line, longest)]
        while len(self.rest) >= longest:
            lines.append(self.rest[:longest])
            self.rest = self.rest[longest:]
        return lines

    def end(self) -> list[bytes]:
        """What is left without a newline."""
        rest, self.rest = self.rest, b""
        return [rest] if rest else []


def pieces(whole: T, longest: int) -> list[T]:
    """``whole``, cut into pieces no longer than ``longest``."""
    return [whole[start : start + longest] for start in range(0, len(whole), longest)] or [whole]


class Output:
    """Hands lines on within the limits above. Each goes through ``hide`` as a whole, before it is cut."""

    def __init__(self, sink: Sink, hide: Callable[[str], str] = str) -> None:
        self._sink = sink
        self._hide = hide
        self._reader = LineReader(math.inf)  # no longer than the head or the tail
        self._head = 0
        self._tail = bytearray()
        self._lost_lines = 0
        self._lost_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take what the program has printed. Beyond the head it is only cut into lines at the end."""
        if self._head < HEAD:
            self._head += len(data)
            self._hand_on(self._reader.feed(data))
            return
        self._tail += data
        if len(self._tail) > 2 * TAIL:
            self._lose(len(self._tail) - TAIL)

    def end(self) -> None:
        """The program prints no more: hand on the end of its output."""
        if len(self._tail) > TAIL:
            self._lose(len(self._tail) - TAIL)
        middle = slice(None)
        if self._lost_bytes:
            middle = self._end_gap()
            self._sink(note(f"{self._lost_lines:,} lines ({self._lost_bytes:,} bytes) of output were left out here"))
        self._hand_on([*self._reader.feed(bytes(self._tail)), *self._reader.end()], middle)
        self._tail.clear()

    def _end_gap(self) -> slice:
        """Leave out of the lines that the gap has cut what could be half a secret: short ones as a whole.

        What is to be handed on of the lines after it.
        """
        end = self._tail.find(b"\n") + 1
        self._lose(end)
        before, after = min(EDGE, len(self._reader.rest)), 0 if end else min(EDGE, len(self._tail))
        self._lost_bytes += before + after
        self._hand_on([line for line in self._reader.end() if len(line) > EDGE], slice(-EDGE))
        return slice(after, None)

    def _lose(self, count: int) -> None:
        self._lost_lines += self._tail.count(b"\n", 0, count)
        self._lost_bytes += count
        del self._tail[:count]

    def _hand_on(self, lines: Iterable[bytes], middle: slice = slice(None)) -> None:
        at = times.now()
        for line in lines:
            text = self._hide(line.removesuffix(b"\r").decode(errors="replace"))[middle]
            for part in pieces(text, LONGEST):
                self._sink(Line("output", part, at))


class Events:
    """Hands events on: JSON objects, one a line, whose ``text`` is what people see; what is none becomes a note."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._reader = LineReader()

    def feed(self, data: bytes) -> None:
        """Take what came through the event pipe."""
        for line in self._reader.feed(data):
            self._take(line)

    def end(self) -> None:
        """No more will come."""
        for line in self._reader.end():
            self._take(line)

    def _take(self, data: bytes) -> None:
        try:
            event = json.loads(data)
        except ValueError:
            event = None
        if isinstance(event, dict):
            self._sink(Line("event", str(event.pop("text", "")), times.now(), event))
        else:
            self._sink(note("an event could not be read"))
