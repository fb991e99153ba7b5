"""Requests that are wrong in some way: each gets one answer, and the daemon stays as it was."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmaps.api.registry import ENDPOINTS
from tests.daemons import Raw, RunningDaemon
from tests.robustness.control import control, manager_of, settles_at, taken_by

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]

UNITS = """\
meta: {name: web, data_type: YamlKeyList, store_key: vhosts, primary_key: host, strict: true, max_instances: 50, keep: {count: 20}}
handler: {type: noop}
params:
  type: object
  required: [host]
  properties:
    host: {type: string, pattern: '^[a-z0-9]+$'}
    port: {type: integer, minimum: 1, maximum: 65535, default: 80}
    names: {type: array, items: {type: string}, uniqueItems: true}
    secret: {type: string, writeOnly: true}
---
meta: {name: free, max_instances: 50, keep: {count: 20}}
handler: {type: noop}
params: {type: object, properties: {a: {anyOf: [{type: string}, {type: object, additionalProperties: {type: number}}]}}}
"""
DOCUMENT = {"host": "h1", "port": 1, "names": ["a", "b"], "secret": "s3cr3t"}
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("units", {}), ("status", {}), ("handlers", {}), ("discover", {}), ("explain", {"unit": "web", "property": "port"}),
    ("unit_check", {"files": [{"name": "u.yaml", "text": "meta: {name: u}\nhandler: {type: noop}\n"}]}),
    ("create", {"unit": "web", "instances": [DOCUMENT], "message": "m", "dry_run": False}),
    ("create", {"unit": "free", "instances": [{"a": {"b": 1.5}}, {"a": "x"}], "apply": {"timeout": "1m"}}),
    ("set", {"unit": "web", "id": "h1", "set": [{"path": "/port", "value": 2}], "unset": ["/secret"]}),
    ("set", {"unit": "web", "id": "h1", "instance": DOCUMENT, "if_rev": "r1"}),
    ("delete", {"unit": "web", "ids": ["h1"]}), ("show", {"unit": "web", "ids": ["h1"], "at": "r1", "instances": True}),
    ("validate", {"unit": "web", "instances": [DOCUMENT]}), ("rollback", {"unit": "web", "steps": 1, "states": True}),
    ("rollback", {"unit": "web", "to": "r1"}), ("redo", {"unit": "web", "steps": 1}),
    ("revert", {"unit": "web", "revision": "r1"}), ("history", {"unit": "web", "since": "1h", "diff": True, "limit": 5}),
    ("diff", {"unit": "web", "from": "r1", "to": "@"}), ("blame", {"unit": "web", "ids": ["h1"], "path": "/port"}),
    ("export", {"units": ["web"], "at": "r1", "history": True, "reveal": True}),
    ("import", {"units": [{"unit": "web", "instances": [DOCUMENT]}], "mode": "replace", "max_deletes": 9}),
    ("import_history", {"units": [{"unit": "web", "history": [], "definitions": {}}]}),
    ("migrate", {"unit": "free", "current": [{"a": "x"}], "undone": [{"a": "y"}]}),
    ("backup_read", {"backup": "x", "offset": 0}), ("apply", {"unit": "web", "instances": [DOCUMENT], "timeout": "1m"}),
    ("confirm", {"unit": "web", "rollback": False}), ("plan", {"unit": "web", "instances": [DOCUMENT]}),
    ("plan_check", {"unit": "web", "timeout": "1m"}), ("cancel", {"job": 999}), ("jobs", {"unit": "web", "limit": 3}),
    ("job", {"job": 1}), ("wait", {"unit": "web", "for": "rev=r1"}), ("request", {"key": "k"}),
    ("lines", {"job": 1, "after": 0, "limit": 10}), ("reload", {}), ("audit", {"unit": "web", "limit": 3}),
    ("may", {"who": "uid:0", "do": "show", "on": "web"}),
]  # fmt: skip
FLAGS = [
    {"list_units": True}, {"discover": "schema"}, {"create": True, "unit_name": "web", "instance": DOCUMENT},
    {"show_summary": True, "unit_name": "web"}, {"rollback": True, "unit_name": "web"},
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**63 - 1, -(2**63), 1.0, 1.5, -0.0, 2.0**63, 1e308, "", " ", "x", "x" * 5000, "r0", "r" + "9" * 18,
    "@", "@~99999", "-1", "../../etc/passwd", "/", "/a/b/c", "~1~0", "\x00", "\n", "\x7f\x1b[31m", "\u202e", "é", "😀", "1e9s",
    "{{ 7*7 }}", "'; DROP TABLE instance; --", "%s%n", [], {}, [[]], [None] * 50, {"": ""}, {"__class__": 1}, ["h1", "h1"],
    {"$ref": "#"}, {"$secret": "set"}, [{"unit": "web"}], {"a": {"a": {"a": {"a": 1}}}},
]  # fmt: skip
PIECES = [b"NaN", b"1e999", b"9" * 30, b'"\\ud800"', b"[" * 40, b"\xff", b"\x00", b'"v":1,', b"{}", b"]", b'"', b"-"]


def copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from parts(value[key])


def negated(chance: random.Random) -> bytes:
    """The body of a request that was good until something was done to it."""
    if chance.random() < 0.1:
        told: dict[str, Any] = copied(chance.choice(FLAGS))
    else:
        verb, args = copied(chance.choice(GOOD))
        told = {"v": 1, "id": "x", "verb": verb, "args": args, "deadline_ms": 1000}
        if chance.random() < 0.5:
            told["key"] = chance.choice(["k1", "k2", str(chance.random())])
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        value, key = chance.choice(list(parts(told)))
        match chance.choice(["replace", "replace", "replace", "remove", "rename", "swap"]):
            case "replace":
                value[key] = copied(chance.choice(ODD))
            case "remove" if isinstance(value, dict):
                del value[key]
            case "rename" if isinstance(value, dict):
                value[chance.choice([*ENDPOINTS, "", key + "s", "__init__", "x" * 300])] = value.pop(key)
            case "swap":
                value[key] = copied(chance.choice(GOOD)[1])
        if not told:
            break
    body = json.dumps(told, ensure_ascii=chance.random() < 0.5).encode(errors="replace")
    if chance.random() < 0.1:
        place = chance.randrange(len(body) + 1)
        cut = chance.choice([body[place:], body[place + 1 :], b""])
        body = body[:place] + chance.choice(PIECES) + cut
    return body


@pytest.mark.timeout(3600)
def test_wrong_requests_change_nothing_about_the_daemon(
    start_daemon: Start, rounds: Rounds, seed: int, figure: Figure
) -> None:
    daemon = start_daemon(UNITS, limits={"queue": 50})
    chance, total = random.Random(seed), rounds(1500, 50_000)
    pid, raw = manager_of(daemon), Raw(daemon.endpoint)
    codes: dict[str, int] = {}
    with control(daemon.endpoint) as waits:
        before = taken_by(pid)
        for number in range(0, total, 20):
            if number == total // 5 // 20 * 20:
                before = taken_by(pid)
            for _ in range(20):
                raw.socket.send_multipart([b"", negated(chance)])
            for _ in range(20):
                assert raw.socket.poll(20_000), "a request has no answer"
                answer = json.loads(raw.socket.recv_multipart()[1])
                codes[answer["code"] or "ok"] = codes.get(answer["code"] or "ok", 0) + 1
                assert "internal error" not in answer["message"], (answer, daemon.output()[-4000:])
    raw.close()
    after = settles_at(pid, before)
    log = daemon.output()
    assert "Traceback" not in log
    assert " error " not in log, [line for line in log.splitlines() if " error " in line][:5]
    assert manager_of(daemon) == pid
    assert after.threads == before.threads
    assert after.memory - before.memory < rounds(16, 64), (before, after)
    assert max(waits) < 3.0
    assert len(codes) > 5, codes
    figure(
        "40 wrong requests",
        f"{total:,} requests, {sum(codes.values()) - codes.get('ok', 0):,} refused by {len(codes) - 1} codes, 0 internal errors; "
        f"{after.memory - before.memory:+.1f} MiB, {after.descriptors - before.descriptors:+d} descriptors; "
        f"others wait {max(waits) * 1000:.0f} ms at most",
    )
