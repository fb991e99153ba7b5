"""Load that keeps a journal: what was sent when, under which key, and what was answered when."""

import contextlib
import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from lmaps import Client
from lmaps.errors import NotReached, OutcomeUnknown
from lmaps.protocol import Reply, Request

PATIENCE = 3.0
"""Seconds that a client waits before it says that the outcome is unknown."""


@dataclass
class Entry:
    """One request: when it was first sent, and what was answered when (monotonic); None while that is not known."""

    verb: str
    args: dict[str, Any]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent: float = 0.0
    answered: float | None = None
    reply: Reply | None = None
    unknown: int = 0
    never: bool = False

    @property
    def acknowledged(self) -> bool:
        """Whether it was said to be done."""
        return self.reply is not None and self.reply.code is None


def write(rng: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    """A change, a read or an apply of the units ``p`` and ``c`` of the model."""
    unit = rng.choice("pc")
    document = {"k": f"k{rng.randrange(20)}", "n": rng.randrange(5), "m": number}
    match rng.choices(
        ["create", "set", "delete", "rollback", "redo", "import", "show", "apply"], [6, 4, 2, 2, 2, 2, 2, 3]
    )[0]:
        case "create":
            return "create", {"unit": unit, "instances": [document, document | {"k": f"k{rng.randrange(20)}"}]}
        case "set":
            return "set", {"unit": "p", "id": document["k"], "instance": document}
        case "delete":
            return "delete", {"unit": "p", "ids": [document["k"]]}
        case "import":
            return "import", {"units": [{"unit": each, "instances": [document]} for each in "pc"]}
        case "show":
            return "show", {"unit": unit, "instances": True}
        case "apply":
            return "apply", {"unit": unit}
        case verb:
            return verb, {"unit": unit}


class Load:
    """Clients that ask one after the other, each in a thread of its own, until it is enough."""

    def __init__(self, endpoint: str, clients: int, seed: int, make: Callable[..., Any] = write) -> None:
        self.journal: list[Entry] = []
        self._endpoint = endpoint
        self._clients = clients
        self._seed = seed
        self._make = make
        self._enough = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        """Within the block they ask; at its end every request has been answered."""
        with ThreadPoolExecutor(self._clients) as threads:
            asking = [threads.submit(self._run, number) for number in range(self._clients)]
            try:
                yield self
            finally:
                self._enough.set()
            for each in asking:
                each.result()

    def _run(self, client_number: int) -> None:
        rng = random.Random(f"{self._seed} {client_number}")
        try:
            with Client(self._endpoint, PATIENCE) as client:
                for number in itertools.count():
                    if self._enough.is_set():
                        return
                    entry = Entry(*self._make(rng, number))
                    self.journal.append(entry)
                    ask(client, entry)
        finally:
            self._enough.set()


def ask(client: Client, entry: Entry, tries: int = 20) -> None:
    """Ask as people are told to: where the outcome is unknown, again under the same key."""
    entry.sent = entry.sent or time.monotonic()
    for _ in range(tries):
        try:
            entry.reply = client.ask(Request(entry.verb, entry.args, key=entry.key))
        except NotReached:
            if not entry.unknown:
                entry.never = True
                return
        except OutcomeUnknown:
            entry.unknown += 1
        else:
            entry.answered = time.monotonic()
            return
    raise AssertionError(f"no answer after {tries} tries")
