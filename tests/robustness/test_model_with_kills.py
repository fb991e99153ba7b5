"""The history against its model while processes die: each step is done once, and a lost one was done or was not."""

import copy
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from lmaps.protocol import Reply, Request
from tests.acceptance.test_history_model import History
from tests.daemons import Raw, until
from tests.history_model import UNITS, Model, Refused
from tests.robustness.load import Entry, ask
from tests.robustness.tree import Tree
from tests.robustness.verifying import check_database

STEPS = 40
POINTS = """
recv valid batch.begin batch.before_commit batch.after_commit change.mid rollback.before rollback.after import.mid
""".split()
COUNTS: Counter[str] = Counter()


class Killed:
    """A daemon that dies, asked as a `Client` is: whoever has no answer asks again under the same key."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.client = tree.client(5.0)
        self._armed = False

    def call(self, verb: str, **args: Any) -> Reply:
        """The reply; raises what the daemon refuses with."""
        COUNTS["requests"] += 1
        while True:
            entry = Entry(verb, args)
            ask(self.client, entry)
            if entry.reply is not None and entry.reply.code is not None:
                raise entry.reply.error()
            if entry.reply is not None:
                return entry.reply

    def arm(self, point: str) -> None:
        """Have the manager die when it comes to the point next."""
        self.settle()
        self.tree.arm(point)
        self._armed = True

    def settle(self) -> None:
        """Nobody dies any more."""
        COUNTS["kills"] += self._armed and not self.tree.disarm()
        self._armed = False

    def lose(self, point: str, verb: str, **args: Any) -> None:
        """Ask for something and do not hear the answer: the manager dies, or it was refused before."""
        self.call("status")
        self.arm(point)
        body = Request(verb, args, "lost", Entry(verb, args).key).encode()
        until(lambda: self._is_lost(body))
        COUNTS["lost"] += 1
        self.settle()

    def _is_lost(self, body: bytes) -> bool:
        """Send it; whether the manager has died of it, or answered. One that was just going has not even taken it."""
        raw = Raw(self.tree.endpoint)
        try:
            raw.socket.send_multipart([b"", body])
            return any(self.tree.has_acted() or raw.socket.poll(5) for _ in range(200))
        finally:
            raw.close()


class HistoryWithKills(History):
    """What an answer that was lost leaves open, the next read tells: one of two states, and nothing else."""

    lmaps: Killed
    losing: str | None = None

    def both(self, step: Callable[[Model], None], verb: str, dry: bool = False, /, **args: Any) -> None:
        if self.losing is None:
            super().both(step, verb, dry, **args)
            return
        point, self.losing = self.losing, None
        ahead = copy.deepcopy(self.model)
        try:
            step(ahead)
        except Refused:
            ahead = self.model
        self.lmaps.lose(point, verb, **args)
        revision = self.lmaps.call("status").extra["revision"]
        assert revision in (self.model.revision, ahead.revision), f"neither done nor not done: {verb} {args}"
        if revision == ahead.revision:
            self.model = ahead
        self.check(args["unit"] if "unit" in args else args["units"][0]["unit"])

    @rule(point=st.sampled_from(POINTS))
    def kill_at(self, point: str) -> None:
        self.lmaps.arm(point)

    @rule(point=st.sampled_from(POINTS[:5]))
    def lose_the_next_answer(self, point: str) -> None:
        self.losing = point

    @rule(name=st.sampled_from(["manager", "manager", "worker 1", "supervisor", "restart"]))
    def kill(self, name: str) -> None:
        if name == "restart":
            self.lmaps.tree.kill("supervisor", signal.SIGTERM)
        else:
            self.lmaps.tree.kill(name)
        COUNTS["restarts" if name == "restart" else "kills"] += 1

    def teardown(self) -> None:
        self.lmaps.settle()
        super().teardown()


@contextmanager
def killed() -> Iterator[Killed]:
    """A daemon of its own, which is whole afterwards."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as directory:
        tree = Tree(Path(directory), UNITS, workers=1)
        try:
            tree.wait_ready()
            made = Killed(tree)
            with made.client:
                yield made
            tree.end(signal.SIGTERM)
            check_database(Path(directory) / "lmaps.db")
        finally:
            tree.end()


@pytest.mark.timeout(3600)
def test_the_history_is_what_the_model_says_whoever_dies(
    rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    COUNTS.clear()
    runs = rounds(2, 50)
    machine: Any = lambda: HistoryWithKills(killed)  # noqa: E731 (it is called for each run, as a class would be)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=[Phase.generate],
        ),
    )
    figure(
        "1 the history against its model, with kills",
        f"{runs} runs of {STEPS} steps, {COUNTS['requests']:,} requests, {COUNTS['kills']} kills, "
        f"{COUNTS['restarts']} restarts, {COUNTS['lost']} answers lost: no step half, none twice",
    )
