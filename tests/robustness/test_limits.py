"""Limits: whoever asks for too much gets an error that names the limit, and the others are served."""

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from lmaps import Client
from lmaps.errors import Busy, TooLarge
from lmaps.protocol import Request
from tests.daemons import WEB, Raw, RunningDaemon, until
from tests.robustness.users import as_user, let_in

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]

SLOW = """\
meta: {name: slow}
handler: {type: command, args: {argv: [sh, -c, 'while [ ! -e ../../../go ]; do sleep 0.02; done']}}
params: {type: object}
"""
QUICK = "meta: {name: quick}\nhandler: {type: command, args: {argv: ['true']}}\nparams: {type: object}\n"
EVERYBODY = "- {subjects: 'uid:65534', rights: [list, show, create, apply], units: '*'}\n"
NO_IMPORT = "- {subjects: 'uid:%d', rights: [list, show, create], units: '*'}\n"


def documents(count: int, text: str = "x") -> dict[str, Any]:
    return {"unit": "web", "instances": [{"host": f"{text}{number}"} for number in range(count)]}


def nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made


TOO_LARGE = [
    ({"unit": "web", "instances": [{"host": "x" * 100_000}] * 5}, "limits.message.bytes"),
    (documents(30), "limits.message.values"),
    (documents(6), "limits.message.documents"),
    ({"unit": "web", "instances": [nested(40)]}, "limits.depth"),
    (documents(1, "x" * 300_000), "limits.string"),
]


def test_a_request_that_is_too_large_is_told_the_limit(start_daemon: Start) -> None:
    """Whoever may import may send more."""
    limits = {"message": {"bytes": 400_000, "values": 50, "documents": 5}}
    importing = start_daemon(WEB, limits=limits)
    (importing.directory / "policy.yaml").write_text(NO_IMPORT % os.getuid())
    creating = start_daemon(WEB, limits=limits, policy="../0/policy.yaml")
    with creating.client(10) as less, importing.client(10) as more:
        for args, limit in TOO_LARGE:
            with pytest.raises(TooLarge, match=limit):
                less.call("create", **args)
            answer = more.ask(Request("create", args))
            assert (answer.code == "too-large") == (".message." not in limit), answer
        assert less.call("show", unit="web").revision is None


def test_an_answer_that_is_too_large_is_an_error_and_nothing_is_changed(start_daemon: Start) -> None:
    daemon = start_daemon(WEB, limits={"reply": 1000})
    with daemon.client() as client:
        for number in range(40):
            client.call("create", unit="web", instances=[{"host": f"h{number}"}])
        for verb, args in (("show", {}), ("create", documents(40))):
            with pytest.raises(TooLarge, match="limits.reply"):
                client.call(verb, **{"unit": "web", **args})
        assert client.call("show", unit="web", ids=["h3"]).extra["state"]["vhosts"][0]["host"] == "h3"
    assert daemon.data("units")[0]["revision"] == 40


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_subject_has_so_many_requests_in_flight(start_daemon: Start, short_path: Any, figure: Figure) -> None:
    (short_path / "policy.yaml").write_text(EVERYBODY)
    daemon = start_daemon(SLOW, policy="../policy.yaml")
    let_in(daemon)
    job = daemon.data("apply", "slow", "--no-wait")["job"]

    def ask() -> list[Any]:
        raw = Raw(daemon.endpoint)
        for number in range(20):
            request = Request("job", {"job": job, "wait_ms": 60_000}, str(number))
            raw.socket.send_multipart([b"", request.encode()])
        told = [json.loads(raw.socket.recv_multipart()[1]) for _ in range(4)]
        raw.close()
        return told

    busy = as_user(ask)
    assert {(each["code"], each["extra"]["retry_after_ms"]) for each in busy} == {("busy", 100)}
    assert {each["id"] for each in busy} == {"16", "17", "18", "19"}
    with daemon.client() as client:
        assert client.call("job", job=job).extra["job"]["state"] == "running"
    (daemon.directory / "go").touch()
    assert daemon.lmaps("attach", str(job)).returncode == 0
    assert as_user(lambda: Client(daemon.endpoint).call("job", job=job).extra["job"]["state"]) == "succeeded"
    figure("54 requests of one subject", "20 at once: 16 wait, 4 busy, and served when those are answered")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_subject_has_so_many_jobs_that_wait(start_daemon: Start, short_path: Any) -> None:
    (short_path / "policy.yaml").write_text(EVERYBODY)
    daemon = start_daemon(SLOW, policy="../policy.yaml", limits={"jobs": 3, "queue": 5}, workers=1)
    let_in(daemon)
    daemon.data("apply", "slow", "--no-wait")

    def apply() -> list[Any]:
        with Client(daemon.endpoint, 2) as client:
            return [client.ask(Request("apply", {"unit": "slow"})).to_json() for _ in range(4)]

    answers = as_user(apply)
    assert [each["code"] for each in answers] == [None, None, None, "busy"]
    assert answers[-1]["extra"]["retry_after_ms"] == 5000
    assert "3 jobs of nobody wait already (limits.jobs)" in answers[-1]["message"]
    with daemon.client(2) as client:
        for number in range(4):
            client.call("apply", unit="slow", timeout=f"{100 + number}s")
        with pytest.raises(Busy, match=r"5 jobs wait already \(limits.queue\)"):
            client.call("apply", unit="slow", timeout="1h")
    (daemon.directory / "go").touch()


def test_a_client_asks_again_when_the_daemon_says_so(start_daemon: Start) -> None:
    daemon = start_daemon(SLOW, limits={"queue": 1}, workers=1)
    told: list[str] = []
    with daemon.client() as client, Client(daemon.endpoint, 30, told.append) as patient:
        first = client.call("apply", unit="slow").job
        until(lambda: client.call("job", job=first).extra["job"]["state"] == "running")
        client.call("apply", unit="slow", timeout="100s")
        replies: list[Any] = []
        waiting = threading.Thread(target=lambda: replies.append(patient.call("apply", unit="slow", timeout="200s")))
        waiting.start()
        until(lambda: told)
        (daemon.directory / "go").touch()
        waiting.join(30)
    assert "asked again in 5 s" in told[0]
    assert replies[0].job == 3


def test_a_full_queue_drops_nothing_silently(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    """Every apply is queued or told that the queue is full; those that are queued all run."""
    daemon = start_daemon(QUICK, limits={"queue": 20}, workers=1)
    total, accepted, busy = rounds(300, 10_000), set(), 0
    raw = Raw(daemon.endpoint)
    for number in range(total + 200):
        if number < total:
            request = Request("apply", {"unit": "quick", "timeout": f"{number + 1}s"}, str(number))
            raw.socket.send_multipart([b"", request.encode()])
        if number < 200:
            continue
        assert raw.socket.poll(30_000), "an apply has no answer"
        answer = json.loads(raw.socket.recv_multipart()[1])
        if answer["code"] is None:
            accepted.add(answer["job"])
        else:
            assert (answer["code"], answer["extra"]["retry_after_ms"]) == ("busy", 5000), answer
            busy += 1
    raw.close()
    with daemon.client() as client:

        def ended() -> bool:
            jobs = client.call("jobs", limit=10_000).extra["jobs"]
            return {job["job"] for job in jobs if job["state"] == "succeeded"} == accepted

        until(ended, 60)
    assert busy
    figure("54 queue full", f"{total:,} applies: {len(accepted):,} run, {busy:,} busy, 0 without an answer")
