"""Random events and random secrets: the worker lives, the job ends as the tool did and is counted right, nothing leaks."""

import json
import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from lmaps import Client
from lmaps.errors import MessageRefused
from lmaps.handlers.ansible.handler import AnsiblePlaybook
from lmaps.model.states import ENDED
from lmaps.util import jsonio
from tests.daemons import RunningDaemon, until
from tests.integration.handlers.test_events import STATS, UNIT

Start = Callable[..., RunningDaemon]

ROUNDS = 8
TOOL = """\
#!{python}
import os, pathlib, sys
directory = pathlib.Path({directory!r})
with os.fdopen(int(os.environ["LMAPS_EVENT_FD"]), "wb") as events:
    events.write((directory / "events").read_bytes())
sys.stdout.buffer.write((directory / "output").read_bytes())
sys.exit(int((directory / "rc").read_text()))
"""
WORDS = sorted(AnsiblePlaybook.event_words)
SECRETS: list[Any] = [
    1, 0, True, False, None, 1234567, -7654321, 1234.5678, "ok", "changed", "event", "hosts", "playbook_on_stats", "",
    "hunter2hunter2", 'quo"te\\slash\'', "a\nline\nof several lines", "pässwörd€", "true", '{"event":', "text\0nul",
    ["first-secret", {"key-secret": "second-secret"}], "x" * 5000,
]  # fmt: skip
"""Secrets of all types; among them are words of events and pieces of JSON."""


def parts(value: object) -> list[str]:
    """Return each name and each scalar in a value, as text."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in parts(part)]
    if isinstance(value, list):
        return [text for part in value for text in parts(part)]
    return [value if isinstance(value, str) else json.dumps(value)]


class Fuzz:
    """Writes events around a secret."""

    def __init__(self, seed: int, secret: object) -> None:
        self._random = random.Random(seed)
        self.texts = [text for text in parts(secret) if text != "key-secret"]
        self._parts = [secret, *self.texts, *WORDS]

    def value(self, depth: int = 3) -> Any:
        """Return JSON with the secret somewhere in it: as a value, as a name, within a text."""
        choose = self._random.random
        if depth and choose() < 0.3:
            return [self.value(depth - 1) for _ in range(self._random.randrange(4))]
        if depth and choose() < 0.4:
            return {str(self.text()): self.value(depth - 1) for _ in range(self._random.randrange(4))}
        return self._random.choice([*self._parts, self.text(), 12.5, 2**40, None, True])

    def text(self) -> str:
        """Return a text with the secret in it."""
        part = self._random.choice(self.texts)
        return self._random.choice([part, f"a {part}", f"{part}{part}", json.dumps(part), repr([part]), "plain"])

    def event(self) -> bytes:
        """Return a line: an event, or something that is none."""
        kind = self._random.choice([*WORDS, "unknown", self.text(), self.value(1)])
        event = {"event": kind, "text": self._random.choice([self.text(), self.value()]), "item": self.value(5)}
        if kind == "playbook_on_stats":
            del event["event"]  # it would count
        if self._random.random() < 0.1:
            event["unknown"] = True
        line = json.dumps(event, ensure_ascii=self._random.random() < 0.5).encode(errors="replace")
        broken = [
            b'{"a": NaN}', b'{"a": 1, "a": 2}', b'{"a": "\\ud800"}', b"\xff\xfe{}", b"[]", b"null", b"{", b"\0", line[: len(line) // 2],
            b'{"a": ' + b"[" * 28 + b"]" * 28 + b"}", b'{"a": ' + b"[" * 5000, b'{"a": [' + b"1," * 20_000 + b"1]}",
            b'{"a": "' + b"x" * 100_000 + b'"}', b'{"a": 9e999}', b'{"a": ' + b"9" * 30 + b"}",
        ]  # fmt: skip
        return line if self._random.random() < 0.7 else self._random.choice(broken)

    def lines(self) -> list[bytes]:
        return [self.event() for _ in range(self._random.randrange(1, 60))]


def unknown_steps(lines: list[bytes]) -> int:
    """Return how many events say that their outcome is unknown; what is no JSON, or too long, says nothing."""
    events = []
    for line in lines:
        try:
            events.append(jsonio.decode(line) if len(line) < 64 * 1024 else None)
        except MessageRefused:
            events.append(None)
    return sum(isinstance(event, dict) and event.get("unknown") is True for event in events)


def test_no_event_and_no_secret_ends_a_worker(start_daemon: Start) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    daemon = start_daemon(UNIT, wait=False)
    (daemon.unit_dir / "site.yml").write_text("[]\n")
    tool = daemon.unit_dir / "tool"
    tool.write_text(TOOL.format(python=sys.executable, directory=str(daemon.unit_dir)))
    tool.chmod(0o755)
    daemon.wait_ready()
    with Client(daemon.endpoint, timeout=60) as client:
        client.call("create", unit="tool", instances=[{"id": "a"}])
        before = {worker["pid"] for worker in client.call("status").extra["workers"]} - {None}
        for number in range(ROUNDS):
            secret = SECRETS[(seed + number) % len(SECRETS)]
            fuzz = Fuzz(seed + number, secret)
            lines, rc = fuzz.lines(), number % 3
            stats = json.dumps({"event": "playbook_on_stats", "hosts": STATS}).encode()
            (daemon.unit_dir / "events").write_bytes(b"\n".join([*lines, stats]) + b"\n")
            (daemon.unit_dir / "output").write_bytes(b"\n".join(fuzz.text().encode() for _ in range(20)) + b"\xff\0\r")
            (daemon.unit_dir / "rc").write_text(str(rc))
            client.call("set", unit="tool", id="a", instance={"id": "a", "secret": secret})
            client.call("apply", unit="tool")
            job = until(partial(ended_job, client, number + 1))
            counted = {"ok": 1, "changed": 1, "failed": 0, "unknown": unknown_steps(lines)}
            state = "failed" if rc else "succeeded"
            assert (job["state"], job["rc"], job["summary"]) == (state, rc, counted), (seed, secret)
            answer = client.call("lines", job=number + 1, limit=1000).extra["lines"]
            seen = set(parts(answer))
            leaked = [(text, shown) for text in fuzz.texts for shown in seen - set(WORDS) if hidden(text) in shown]
            assert not leaked, (seed, secret)
        after = {worker["pid"] for worker in client.call("status").extra["workers"]}
    assert before <= after, (seed, daemon.output())


def ended_job(client: Client, number: int) -> Any:
    job = client.call("job", job=number).extra["job"]
    return job if job["state"] in ENDED else None


def hidden(text: str) -> str:
    """Return a secret if it is long enough to be hidden."""
    return text if len(text) >= 6 else "never there"
