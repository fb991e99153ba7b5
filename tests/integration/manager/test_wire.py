"""The wire: odd messages, and groups of requests that share a commit."""

import json
from collections.abc import Callable
from typing import Any

from lmaps.protocol import Request
from tests.daemons import WEB, Raw, RunningDaemon

Start = Callable[..., RunningDaemon]


def test_odd_messages_get_one_sentence_and_the_daemon_goes_on(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    raw = Raw(daemon.endpoint)
    for body in (
        b"", b"\xff\xfe", b"not json", b"[]", b"null", b"{}", b'{"v":2}', b'{"v":1}', b'{"v":1,"verb":7}', b"[" * 100_000,
        b'{"v":1,"verb":"show","args":[]}', b'{"v":1,"verb":"show","args":{}}', b'{"v":1,"verb":"show","args":{"unit":7}}',
        b'{"v":1,"verb":"show","args":{"unit":"web","x":1}}', b'{"v":1,"verb":"units","more":1}', b'{"v":1,"verb":"__class__"}',
        b'{"v":1,"verb":"create","args":{"unit":"web","instances":[]}}', b'{"v":1,"v":1}', b'{"v":NaN}', b'{"v":1e999}',
        b'{"list_units":"yes"}', b'{"create":true,"unit_name":"web"}', b'{"apply":true}',
        b'{"v":1,"verb":"create","args":{"unit":"web","instances":[{"host":"\\ud800"}]}}',
    ):  # fmt: skip
        answer = raw.ask(body)
        assert answer["level"] in (2, 4), (body, answer)
        assert answer["message"].startswith(("cannot ", "there is no ")), (body, answer)
    raw.socket.send_multipart([b"x", b"y", b"z"])
    raw.socket.send(b"no empty frame")
    assert raw.ask(b'{"v":1,"verb":"units","id":"mine"}')["id"] == "mine"
    raw.close()
    assert "Traceback" not in daemon.output()


def test_each_of_a_group_succeeds_or_fails_alone(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    raw = Raw(daemon.endpoint)
    for number in range(200):
        host = "bad host!" if number % 10 == 3 else f"h{number}"
        raw.socket.send_multipart(
            [b"", Request("create", {"unit": "web", "instances": [{"host": host}]}, str(number)).encode()]
        )
    answers: dict[int, Any] = {}
    while len(answers) < 200:
        assert raw.socket.poll(20_000)
        answer = json.loads(raw.socket.recv_multipart()[1])
        answers[int(answer["id"])] = answer
    raw.close()
    assert [number for number, answer in sorted(answers.items()) if answer["level"]] == list(range(3, 200, 10))
    revisions = [answer["revision"] for _, answer in sorted(answers.items()) if not answer["level"]]
    assert revisions == list(range(1, 181))
