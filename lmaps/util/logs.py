"""Logging of the daemon's processes on standard error: text for people, or one JSON object per line.

The request, subject, unit or job that a line is about are fields of their own. No line quotes a document.
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
from lmaps.util.terminal import visible, visible_lines
from lmaps.util.text import plural

_PLAIN = re.compile(r'[^ "\[\]=\\]+')
_CHUNK = select.PIPE_BUF
MAX_FIELD = 128
"""Characters of a field that are logged: clients choose the values of some."""
_fields: ContextVar[Mapping[str, Any]] = ContextVar("fields", default=MappingProxyType({}))


def set_up_logging(process: str, level: str = "info", style: str = "text") -> None:
    """Log from now on as ``process``, and drop the handlers of the process that forked this one.

    ``level`` (debug, info, warning, error) is for lMaPS; libraries log from warning on. ``style`` is text or json.
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
    """Set the level of a logger, if it is another one."""
    # setLevel writes to every logger there is: in a forked child each page it writes to is copied
    if logger.level != level:
        logger.setLevel(level)


class log_context:  # noqa: N801 (named as the context managers of contextlib are)
    """Add fields to every line that is logged within the block; None is left out, and a long value is cut."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _fields.set({**_fields.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        _fields.reset(self._token)


class StandardError(logging.Handler):
    """Writes each line to standard error without failing or waiting; a line that cannot be written is lost.

    The next line that can be written is preceded by one with the number of lost lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of ``record``, or count it as lost."""
        if self.lost and _write(f"lmapsd: {plural(self.lost, 'line')} of this log could not be written\n".encode()):
            self.lost = 0
        if self.lost or not _write(f"{self.format(record)}\n".encode(errors="backslashreplace")):
            self.lost += 1


def _write(line: bytes) -> bool:
    """Write ``line`` and return whether all of it was written."""
    # a reader that has stopped reading would otherwise stop the daemon; a pipe takes PIPE_BUF bytes or nothing
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
        """Return the tracebacks and types of an error and its causes, without the messages.

        A message could quote a document, and with it a secret; those of the operating system do not.
        """
        blocks, error = [], ei[1]
        while error is not None:
            message = f": {error}" if isinstance(error, OSError) else ""
            blocks.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__ + message)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(reversed(blocks))


class TextLines(_Lines):
    """``TIME LEVEL PROCESS: MESSAGE [FIELD=VALUE ...]``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; control characters are escaped, so that no value can forge a line of its own."""
        fields = " ".join([f"{name}={_word(value)}" for name, value in _current_fields()])
        message = f"{record.getMessage()} [{fields}]" if fields else record.getMessage()
        line = f"{_time(record)} {record.levelname.lower()} {self._process}: {visible(message)}"
        return f"{line}\n{visible_lines(self.formatException(record.exc_info))}" if record.exc_info else line


class JsonLines(_Lines):
    """One object per line: at, level, process, pid, logger, message, the fields, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry = {
            "at": _time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": self._pid,
            "logger": record.name,
            "message": record.getMessage(),
            **dict(_current_fields()),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _current_fields() -> Iterator[tuple[str, object]]:
    """Yield the fields of a line."""
    for name, value in _fields.get().items():
        if value is not None:
            yield name, value[:MAX_FIELD] if isinstance(value, str) else value


def _word(value: object) -> str:
    """Return a value as it stands on a line of text; a value that is no plain word is quoted."""
    text = str(value)
    return text if text.isprintable() and _PLAIN.fullmatch(text) else json.dumps(text)


def _time(record: logging.LogRecord) -> str:
    return times.in_utc(datetime.fromtimestamp(record.created, UTC))
