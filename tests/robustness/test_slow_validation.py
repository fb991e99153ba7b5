"""Documents that take long to check: they are refused in time, and nobody waits longer than that."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lmaps import Client
from lmaps.errors import LmapsError, TookTooLong
from lmaps.protocol import Request
from tests.daemons import Raw, RunningDaemon, until
from tests.robustness.control import control
from tests.robustness.test_limits import EVERYBODY
from tests.robustness.users import as_user, let_in

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]

UNIT = """\
meta: {name: slow}
handler: {type: noop}
params:
  type: object
  additionalProperties: false
  properties:
    pattern: {type: string, pattern: '^(a+)+$'}
    word: {type: string, pattern: '^([a-z0-9]+-?)*$'}
    names: {type: object, patternProperties: {'^(x|xx)+$': {type: integer}}}
    unique: {type: array, uniqueItems: true}
    deep: {anyOf: [{type: array, items: {type: array, uniqueItems: true}}, {type: 'null'}]}
"""
NEVER = "a" * 64 + "!"
CASES: dict[str, Any] = {
    "pattern": NEVER,
    "word": "a" * 64 + "!",
    "names": {"x" * 64 + "!": 1},
    "unique": [{"a": number, "b": [number]} for number in range(3000)],
    "deep": [[{"a": number} for number in range(3000)]],
}
MARGIN = 3.0
"""Seconds that a loaded machine may add; the figure tells what it was."""


def test_what_takes_long_to_check_is_refused_in_time(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    seconds = rounds(3, 20) / 10
    short = {"validation": f"{seconds}s"}
    daemon = start_daemon(UNIT, limits={"message": short, "import": short})
    pid, took = until(lambda: daemon.pid_of("manager")), []
    with daemon.client() as client, control(daemon.endpoint, pause=0) as waits:
        for name, value in CASES.items():
            begin = time.monotonic()
            with pytest.raises(TookTooLong) as refused:
                client.call("create", unit="slow", instances=[{}, {name: value}])
            took.append(time.monotonic() - begin)
            assert refused.value.message.startswith(
                f"cannot create in slow: checking it took longer than {seconds:g} s"
            )
            assert "(limits.message.validation); nothing was changed" in refused.value.message
            [finding] = refused.value.errors
            assert (finding.document, finding.at[:1]) == (1, (name,)), finding
        for verb, args in (
            ("validate", {"unit": "slow", "instances": [{"pattern": NEVER}]}),
            ("set", {"unit": "slow", "id": "x", "instance": {"pattern": NEVER}}),
            ("apply", {"unit": "slow", "instances": [{"pattern": NEVER}]}),
            ("import", {"units": [{"unit": "slow", "instances": [{"pattern": NEVER}]}]}),
            ("migrate", {"unit": "slow", "current": [{"pattern": NEVER}]}),
            (
                "unit_check",
                {"files": [{"name": "u.yaml", "text": UNIT.replace("string,", f"string, default: {NEVER},")}]},
            ),
        ):
            with pytest.raises((TookTooLong, LmapsError)) as other:
                client.call(verb, **args)
            assert verb == "set" or isinstance(other.value, TookTooLong), (verb, other.value)
        assert client.call("create", unit="slow", instances=[{"pattern": "aaa"}]).revision == 1
    assert daemon.pid_of("manager") == pid
    assert max(took) < seconds + MARGIN
    assert max(waits) < 2 * seconds + MARGIN  # it may come when the one before it has just begun
    assert "Traceback" not in daemon.output()
    figure("43 slow validation", f"{len(CASES)} cases refused within {max(took):.2f} s, others wait {max(waits):.2f} s")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_who_has_taken_long_is_served_after_the_others(start_daemon: Start, short_path: Any) -> None:
    (short_path / "policy.yaml").write_text(EVERYBODY)
    daemon = start_daemon(UNIT, policy="../policy.yaml", limits={"message": {"validation": "0.5s"}})
    let_in(daemon)

    def ask() -> list[Any]:
        raw = Raw(daemon.endpoint)
        for number in range(8):
            args = {"unit": "slow", "instances": [{"pattern": NEVER}]}
            raw.socket.send_multipart([b"", Request("create", args, str(number)).encode()])
        answers = [json.loads(raw.socket.recv_multipart()[1]) for _ in range(8)]
        raw.close()
        with Client(daemon.endpoint) as client:
            answers.append(client.call("show", unit="slow").to_json())
        return answers

    with control(daemon.endpoint, pause=0) as waits:
        answers = as_user(ask)
    codes = [each["code"] for each in answers]
    assert codes.count("took-too-long") < 4, codes
    assert codes.count("busy") > 4, codes
    assert codes[-1] is None, "in the end it is served as before"
    assert all(0 < each["extra"]["retry_after_ms"] <= 3000 for each in answers if each["code"] == "busy")
    assert max(waits) < 2 + MARGIN


def test_a_pattern_that_can_take_for_ever_is_warned_of(start_daemon: Start, short_path: Any) -> None:
    daemon = start_daemon(UNIT)
    (short_path / "unit.yaml").write_text(UNIT)
    checked = daemon.lmaps("unit", "check", str(short_path / "unit.yaml"))
    assert checked.returncode == 0, checked.stderr
    told = checked.stdout + checked.stderr
    assert "the pattern ^(a+)+$ can take for ever" in told
    assert "line: 7\n" in told
