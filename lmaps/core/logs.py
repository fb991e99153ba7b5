"""Logging of the daemon's processes: text for people, or a JSON object a line, on standard error."""

import json
import logging
import os
from datetime import UTC, datetime

_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(32), 127)}


def set_up_logging(process: str, level: str = "info", style: str = "text") -> None:
    """Log from here on as ``process``; what was set up before, in the process that forked this one, is forgotten.

    ``level`` (debug, info, warning, error) is for lMaPS; libraries are heard from warning on. ``style`` is text or
    json.
    """
    stream = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(process) if style == "json" else TextLines(process))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("lmaps").setLevel(threshold)


class TextLines(logging.Formatter):
    """``TIME LEVEL PROCESS: MESSAGE``; control characters are escaped, so that nobody forges a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = record.getMessage().translate(_ESCAPES)
        line = f"{_time(record)} {record.levelname.lower()} {self._process}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """An object a line: at, level, process, pid, logger, message, and exception where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "at": _time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
