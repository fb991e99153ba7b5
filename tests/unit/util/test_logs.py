import json
import logging
import os
import sys
from contextlib import contextmanager

import pytest

from lmaps.util.logs import MAX_FIELD, JsonLines, StandardError, TextLines, log_context, set_up_logging


def record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    made = logging.LogRecord("lmaps.x", logging.WARNING, __file__, 1, message, args, exc_info)  # type: ignore[arg-type]
    made.created = 1795000000.25
    return made


def test_text_has_time_level_process_and_message():
    told = TextLines("worker 1").format(record("%s is gone", "it"))
    assert told == "2026-11-18T11:06:40.250000Z warning worker 1: it is gone"


def test_nobody_forges_a_line_of_text():
    assert TextLines("manager").format(record("%s", "a\nb\x1b[31m")).endswith(r"manager: a\nb\x1b[31m")


@pytest.mark.parametrize("style", [TextLines, JsonLines])
def test_no_value_commands_the_terminal_of_who_reads_the_log(style):
    hostile = "".join(map(chr, (*range(32), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xE0041)))
    with log_context(unit=hostile, key="a\u202e"):
        line = style("manager").format(record("%s", hostile))
    assert not set(hostile) & set(line)


def test_json_is_an_object_a_line():
    line = JsonLines("manager").format(record("two\nlines é"))
    told = json.loads(line)
    assert "\n" not in line
    assert told.pop("pid") > 0
    assert told == {
        "at": "2026-11-18T11:06:40.250000Z",
        "level": "warning",
        "process": "manager",
        "logger": "lmaps.x",
        "message": "two\nlines é",
    }


@pytest.mark.parametrize("style", [TextLines, JsonLines])
def test_exceptions_are_logged_with_their_traceback(style):
    try:
        raise ValueError("why")
    except ValueError:
        told = style("manager").format(record("it broke", exc_info=sys.exc_info()))
    assert "ValueError" in told
    assert "test_logs.py" in told


@pytest.mark.usefixtures("restored_logging")
def test_setting_up_again_replaces_what_was(capfd):
    set_up_logging("supervisor", "debug")
    set_up_logging("worker 1", "info", "json")
    logging.getLogger("lmaps.x").info("once")
    logging.getLogger("lmaps.x").debug("too fine")
    logging.getLogger("library").info("chatter")
    assert [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()] == ["once"]


def test_what_a_line_is_about_stands_in_fields():
    with log_context(request="a b", unit=None), log_context(job=3, key="k" * 1000):
        text = TextLines("manager").format(record("started"))
        told = json.loads(JsonLines("manager").format(record("started")))
    assert text.endswith(f'manager: started [request="a b" job=3 key={"k" * MAX_FIELD}]')
    assert (told["request"], told["job"], told["key"], "unit" in told) == ("a b", 3, "k" * MAX_FIELD, False)
    assert TextLines("manager").format(record("started")).endswith("manager: started")


@pytest.mark.parametrize("hostile", ["a\nb", "x] y=[", '"', "", "\x1b[31m", "é "])
def test_a_field_forges_no_other(hostile):
    with log_context(subject=hostile):
        line = TextLines("manager").format(record("done"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith(f"done [subject={json.dumps(hostile)}]")


@pytest.mark.parametrize("style", [TextLines, JsonLines])
def test_no_traceback_quotes_a_document(style):
    value = "can" + "ary"
    try:
        try:
            raise KeyError(value)
        except KeyError as error:
            raise ValueError(value) from error
    except ValueError:
        told = style("manager").format(record("it broke", exc_info=sys.exc_info()))
    assert value not in told
    assert told.index("KeyError") < told.rindex("ValueError")


@contextmanager
def standard_error(descriptor):
    """Within the block standard error is ``descriptor``."""
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def handler():
    made = StandardError()
    made.setFormatter(TextLines("manager"))
    return made


def test_a_full_disk_and_a_closed_log_lose_lines_and_fail_nothing():
    full = os.open("/dev/full", os.O_WRONLY)
    made = handler()
    with standard_error(full):
        made.emit(record("one"))
        os.close(2)
        made.emit(record("two"))
    os.close(full)
    assert made.lost == 2


def test_a_reader_that_does_not_read_is_not_waited_for_and_told_how_much_it_missed():
    reading, writing = os.pipe()
    made = handler()
    with standard_error(writing):
        while not made.lost:
            made.emit(record("x" * 1000))
        os.read(reading, 1 << 20)
        made.emit(record("again"))
    told = os.read(reading, 1 << 20).decode()
    os.close(reading)
    os.close(writing)
    assert "lmapsd: 1 line of this log could not be written\n" in told
    assert told.endswith("manager: again\n")
