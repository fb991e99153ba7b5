import json
import os
import re
import signal
import threading
import time
from typing import Any

import pytest

from lmaps.errors import TookTooLong
from lmaps.model.schema import Schema
from lmaps.util.timelimit import LOCATE_S, TimeLimit, alarm_handler, slow_part


def fit(pattern="^(a+)+$", text="a" * 40 + "!"):
    return re.match(pattern, text)


def spin():
    while True:
        pass


@pytest.mark.parametrize("function", [fit, spin])
def test_what_takes_too_long_is_ended(function):
    begin = time.monotonic()
    with pytest.raises(TookTooLong, match=r"cannot try: checking it took longer than 0.2 s \(a.key\)"):
        TimeLimit(0.2, "a.key").run("try", function)
    assert time.monotonic() - begin < 1


def test_the_pieces_share_the_time():
    limit = TimeLimit(0.3)

    def half():
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass

    limit.run("try", half)
    with pytest.raises(TookTooLong):
        limit.run("try", half)
    with pytest.raises(TookTooLong):
        limit.run("try", spin)


def test_what_is_quick_is_given_back_and_leaves_no_timer():
    assert TimeLimit(5).run("try", max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        TimeLimit(5).run("try", lambda: 1 / 0)
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 60  # that of pytest itself goes on


def test_nothing_else_is_interrupted():
    """A signal that comes late finds nobody to interrupt."""
    TimeLimit(5).run("try", int)
    older = signal.getsignal(signal.SIGALRM)
    TimeLimit(5).run("try", lambda: signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGALRM)))
    with pytest.raises(TookTooLong):
        TimeLimit(0.05).run("try", spin)
    assert signal.getsignal(signal.SIGALRM) is older


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_that_is_lost_comes_again():
    class Greedy:
        def __del__(self):
            spin()  # what is raised here is only printed

    def lose():
        Greedy()
        spin()

    with pytest.raises(TookTooLong):
        TimeLimit(0.1).run("try", lose)


def test_another_thread_is_not_limited():
    done = []
    thread = threading.Thread(target=lambda: done.append(TimeLimit(0.001).run("try", fit, "^(a+)+$", "a" * 18 + "!")))
    thread.start()
    thread.join()
    assert done == [None]


def test_a_handler_that_stays_limits_as_well():
    older = signal.getsignal(signal.SIGALRM)
    with alarm_handler():
        for _ in range(2):
            with pytest.raises(TookTooLong):
                TimeLimit(0.05).run("try", spin)
        with pytest.raises(TookTooLong), alarm_handler():
            TimeLimit(0.05).run("try", TimeLimit(5).run, "try", spin)
        os.kill(os.getpid(), signal.SIGALRM)  # nothing is limited now, and nothing is interrupted
    assert signal.getsignal(signal.SIGALRM) is older


@pytest.mark.parametrize("keywords", [{}, {"uniqueItems": True}], ids=["plain", "jsonschema"])
def test_the_place_is_known(keywords):
    properties = {"b": {"properties": {"c": {"type": "string", "pattern": "^(a+)+$"}}}}
    schema = Schema({"properties": {"a": {"properties": properties}}, "required": ["x"], **keywords})
    document = {"x": 1, "y": "a" * 40, "a": {"z": "a" * 40 + "!", "b": {"c": "a" * 40 + "!"}}}
    schema.findings({})  # loads jsonschema, which takes long on a busy machine
    with pytest.raises(TookTooLong):
        TimeLimit(0.1).run("try", schema.complete, document)
    assert slow_part(schema.complete, document) == ("a", "b", "c")


def test_the_place_ends_where_no_part_is_slow_alone():
    def check(document):
        for word in document.get("words", ()):
            fit(text=word)
        if len(document.get("numbers", ())) > 1:
            spin()

    assert slow_part(check, {"a": 1, "words": ["b", "a" * 40 + "!"]}) == ("words", 1)
    assert slow_part(check, {"a": 1, "numbers": [1, 2]}) == ("numbers",)
    assert slow_part(check, {"a": 1, "numbers": [1]}) == ()
    assert slow_part(lambda _document: spin(), {"a": 1}) == ()
    begin = time.monotonic()
    deep: list[Any] = ["a" * 40 + "!"]
    for _ in range(20):
        deep = [deep]
    assert slow_part(lambda document: fit(text=json.dumps(document).strip("[]").strip('"')), deep) != ()
    assert time.monotonic() - begin < 3 * LOCATE_S


def test_the_position_is_kept():
    limit = TimeLimit(0.1)

    def check(documents):
        for limit.position, document in enumerate(documents):
            fit(text=document)

    with pytest.raises(TookTooLong):
        limit.run("try", check, ["a", "b", "a" * 40 + "!", "c"])
    assert limit.position == 2
