import json
import logging
import sys

import pytest

from lmaps.core.logs import JsonLines, TextLines, set_up_logging


def record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    made = logging.LogRecord("lmaps.core.x", logging.WARNING, __file__, 1, message, args, exc_info)  # type: ignore[arg-type]
    made.created = 1795000000.25
    return made


def test_text_has_time_level_process_and_message():
    told = TextLines("worker 1").format(record("%s is gone", "it"))
    assert told == "2026-11-18T11:06:40.250000Z warning worker 1: it is gone"


def test_nobody_forges_a_line_of_text():
    assert TextLines("manager").format(record("%s", "a\nb\x1b[31m")).endswith(r"manager: a\nb\x1b[31m")


def test_json_is_an_object_a_line():
    line = JsonLines("manager").format(record("two\nlines é"))
    told = json.loads(line)
    assert "\n" not in line
    assert told.pop("pid") > 0
    assert told == {
        "at": "2026-11-18T11:06:40.250000Z",
        "level": "warning",
        "process": "manager",
        "logger": "lmaps.core.x",
        "message": "two\nlines é",
    }


@pytest.mark.parametrize("style", [TextLines, JsonLines])
def test_exceptions_are_logged_with_their_traceback(style):
    try:
        raise ValueError("why")
    except ValueError:
        assert "ValueError: why" in style("manager").format(record("it broke", exc_info=sys.exc_info()))


@pytest.fixture
def _restored_logging():
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.getLogger("lmaps").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("_restored_logging")
def test_setting_up_again_replaces_what_was(capfd):
    set_up_logging("supervisor", "debug")
    set_up_logging("worker 1", "info", "json")
    logging.getLogger("lmaps.core.x").info("once")
    logging.getLogger("lmaps.core.x").debug("too fine")
    logging.getLogger("library").info("chatter")
    assert [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()] == ["once"]
