"""Logging of the daemon's processes: text for people, or a JSON object a line, on standard error.

What a line is about (request, subject, unit, job ...) stands in fields of its own. No line quotes a document.
"""

import json
import logging
import os
import re
import select
import traceback
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from lmaps.util import times
from lmaps.util.text import plural

_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(32), 127)}
_PLAIN = re.compile(r'[^ "\[\]=\\]+')
_CHUNK = select.PIPE_BUF
LONGEST = 128
"""Characters of a field that are logged."""
_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))


def set_up_logging(process: str, level: str = "info", style: str = "text") -> None:
    """Log from here on as ``process``; what was set up before, in the process that forked this one, is forgotten.

    ``level`` (debug, info, warning, error) is for lMaPS; libraries are heard from warning on. ``style`` is text or
    json.
    """
    handler = StandardError()
    handler.setFormatter(JsonLines(process) if style == "json" else TextLines(process))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logging.raiseExceptions = False
    logging._srcfile = None  # as its documentation says: no line tells which code it comes from
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nor from which thread
    logging.root.handlers[:] = [handler]
    _set_level(logging.root, max(threshold, logging.WARNING))
    _set_level(logging.getLogger("lmaps"), threshold)


def _set_level(logger: logging.Logger, level: int) -> None:
    """As `setLevel`, which writes to every logger there is: a child would make their pages its own for nothing."""
    if logger.level != level:
        logger.setLevel(level)


class log_context:  # noqa: N801 (it reads as a word, as those of contextlib do)
    """Give every line that is logged within the block these fields; one that is None is left out, a long one cut."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _about.set({**_about.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        _about.reset(self._token)


class StandardError(logging.Handler):
    """Writes each line to standard error, and never fails nor waits: a line that cannot be written is lost.

    How many were lost is told as soon as one can be written again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of ``record``."""
        if self.lost and _write(f"lmapsd: {plural(self.lost, 'line')} of this log could not be written\n".encode()):
            self.lost = 0
        if self.lost or not _write(f"{self.format(record)}\n".encode(errors="backslashreplace")):
            self.lost += 1


def _write(line: bytes) -> bool:
    """Whether ``line`` was written; a pipe that takes a part of it now is not waited for."""
    try:
        for start in range(0, len(line), _CHUNK):
            if not select.select((), (2,), (), 0)[1]:
                return False
            os.write(2, line[start : start + _CHUNK])
    except OSError:
        return False
    return True


class _Lines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process
        self._pid = os.getpid()

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's own name)
        """Where it happened, and the kind of error; its words could quote a document, but for the system's own."""
        told, error = [], ei[1]
        while error is not None:
            words = f": {error}" if isinstance(error, OSError) else ""
            told.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__ + words)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(reversed(told))


class TextLines(_Lines):
    """``TIME LEVEL PROCESS: MESSAGE [FIELD=VALUE ...]``; control characters are escaped: nobody forges a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = " ".join([f"{name}={_word(value)}" for name, value in _told()])
        message = f"{record.getMessage()} [{fields}]" if fields else record.getMessage()
        line = f"{_time(record)} {record.levelname.lower()} {self._process}: {_escaped(message)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(_Lines):
    """An object a line: at, level, process, pid, logger, message, the fields, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "at": _time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": self._pid,
            "logger": record.name,
            "message": record.getMessage(),
            **dict(_told()),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


def _escaped(text: str) -> str:
    return text if text.isprintable() else text.translate(_ESCAPES)


def _told() -> Iterator[tuple[str, Any]]:
    """The fields of a line."""
    for name, value in _about.get().items():
        if value is not None:
            yield name, value[:LONGEST] if isinstance(value, str) else value


def _word(value: Any) -> str:
    """A value on a line of text: what is no plain word stands in quotes."""
    text = str(value)
    return text if text.isprintable() and _PLAIN.fullmatch(text) else json.dumps(text)


def _time(record: logging.LogRecord) -> str:
    return times.in_utc(datetime.fromtimestamp(record.created, UTC))
