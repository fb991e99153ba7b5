"""A program's output as lines: whatever it prints, memory stays bounded and nothing blocks.

The first MiB is handed on as it comes. Of what follows the last MiB is kept and handed on at the end, after a note
that counts what lies between. A line longer than 64 Ki characters is cut into several; bytes that are not UTF-8 are
replaced.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from lmaps.errors import MessageRefused
from lmaps.util import jsonio, times

HEAD_BYTES = TAIL_BYTES = 1024 * 1024
"""How much is kept of the beginning and of the end of the output."""
MAX_LINE_CHARS = 64 * 1024
MAX_SECRET_BYTES = 256 * 1024
"""The longest text that an instance may hold, and so the longest secret."""

MAX_EVENT_DEPTH = jsonio.MAX_DEPTH - 3
"""The deepest nesting of an event: the message to the manager has it in a line, in a list."""

T = TypeVar("T", str, bytes)


class Line(NamedTuple):
    """A line of output, an event, or a note of lMaPS itself.

    ``stream`` is ``output``, ``event`` or ``note``; ``at`` is when it came, as a time stamp.
    """

    stream: str
    text: str
    at: str
    event: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the line as it goes over the wire."""
        payload: dict[str, Any] = {"at": self.at, "stream": self.stream, "text": self.text}
        return payload if self.event is None else payload | {"event": self.event}


Sink = Callable[[Line], None]


def note(text: str) -> Line:
    """Return a line of lMaPS itself."""
    return Line("note", text, times.now())


class LineReader:
    """Cuts a stream of bytes into lines, and a line of more than ``max_bytes`` bytes into several."""

    def __init__(self, max_bytes: float = MAX_LINE_CHARS) -> None:
        self.rest = b""
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        if max(map(len, (*lines, self.rest))) < self._max_bytes:
            return lines
        max_bytes = int(self._max_bytes)
        lines = [piece for line in lines for piece in pieces(line, max_bytes)]
        while len(self.rest) >= max_bytes:
            lines.append(self.rest[:max_bytes])
            self.rest = self.rest[max_bytes:]
        return lines

    def end(self) -> list[bytes]:
        """Return what is left without a newline, as a list of at most one line."""
        rest, self.rest = self.rest, b""
        return [rest] if rest else []


def pieces(whole: T, max_length: int) -> list[T]:
    """Cut ``whole`` into pieces no longer than ``max_length``."""
    return [whole[start : start + max_length] for start in range(0, len(whole), max_length)] or [whole]


class Output:
    """Hands lines on within the limits above. Each goes through ``hide`` as a whole, before it is cut.

    A secret that is cut in two is not recognised, and one half of it would be stored.
    """

    def __init__(self, sink: Sink, hide: Callable[[str], str] = str) -> None:
        self._sink = sink
        self._hide = hide
        self._reader = LineReader(math.inf)  # `hide` needs whole lines; head and tail bound them
        self._head_bytes = 0
        self._tail = bytearray()
        self._lost_lines = 0
        self._lost_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take what the program has printed. Beyond the head it is only cut into lines at the end."""
        if self._head_bytes < HEAD_BYTES:
            self._head_bytes += len(data)
            self._hand_on(self._reader.feed(data))
            return
        self._tail += data
        if len(self._tail) > 2 * TAIL_BYTES:  # at twice the size only, else every chunk would move a MiB
            self._lose(len(self._tail) - TAIL_BYTES)

    def end(self) -> None:
        """Hand on the end of the output: the program prints no more."""
        if len(self._tail) > TAIL_BYTES:
            self._lose(len(self._tail) - TAIL_BYTES)
        part = slice(None)
        if self._lost_bytes:
            part = self._end_gap()
            self._sink(note(f"{self._lost_lines:,} lines ({self._lost_bytes:,} bytes) of output were left out here"))
        self._hand_on([*self._reader.feed(bytes(self._tail)), *self._reader.end()], part)
        self._tail.clear()

    def _end_gap(self) -> slice:
        """Leave out of the lines that the gap has cut what could be half a secret: short ones as a whole.

        Returns which part of each line after the gap is to be handed on.
        """
        end = self._tail.find(b"\n") + 1
        self._lose(end)
        before = min(MAX_SECRET_BYTES, len(self._reader.rest))
        after = 0 if end else min(MAX_SECRET_BYTES, len(self._tail))
        self._lost_bytes += before + after
        self._hand_on([line for line in self._reader.end() if len(line) > MAX_SECRET_BYTES], slice(-MAX_SECRET_BYTES))
        return slice(after, None)

    def _lose(self, count: int) -> None:
        self._lost_lines += self._tail.count(b"\n", 0, count)
        self._lost_bytes += count
        del self._tail[:count]

    def _hand_on(self, lines: Iterable[bytes], part: slice = slice(None)) -> None:
        at = times.now()
        for line in lines:
            text = self._hide(line.removesuffix(b"\r").decode(errors="replace"))[part]
            for piece in pieces(text, MAX_LINE_CHARS):
                self._sink(Line("output", piece, at))


class Events:
    """Hands events on: JSON objects, one a line, whose ``text`` is shown to people; any other line becomes a note.

    A ``text`` of another type is shown as JSON.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._reader = LineReader()

    def feed(self, data: bytes) -> None:
        """Take what came through the event pipe."""
        for line in self._reader.feed(data):
            self._hand_on(line)

    def end(self) -> None:
        """Hand on the last line: no more will come."""
        for line in self._reader.end():
            self._hand_on(line)

    def _hand_on(self, line: bytes) -> None:
        try:
            event = jsonio.decode(line, depth=MAX_EVENT_DEPTH)
        except MessageRefused:
            event = None
        if isinstance(event, dict):
            text = event.pop("text", "")
            self._sink(Line("event", text if isinstance(text, str) else jsonio.encode(text), times.now(), event))
        else:
            self._sink(note("an event could not be read"))
