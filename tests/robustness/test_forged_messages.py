"""A worker in other hands: what it says of jobs that are not its own is heard by nobody, and holds up nothing."""

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmaps.config.load import load_config
from lmaps.manager import Manager
from lmaps.protocol.work import Hello, Lines, Result
from lmaps.transport.zmq_client import NO_SECRET, WorkerSocket
from lmaps.util.heartbeat import SupervisorChannel, channel_pair
from tests.daemons import until
from tests.integration.manager.test_manager import work

UNIT = """\
meta: {name: web}
handler: {type: command, args: {argv: [sh, -c, 'while [ ! -e GATE ]; do sleep 0.02; done']}}
params: {type: object}
"""


@pytest.fixture
def manager(short_path: Path) -> Iterator[Manager]:
    """A manager with one true worker."""
    (short_path / "units.d").mkdir()
    (short_path / "units.d" / "web.yaml").write_text(UNIT.replace("GATE", str(short_path / "gate")))
    (short_path / "lmaps.yaml").write_text(
        "rpc: {manager_bind: ipc://m.sock, worker_bind: ipc://w.sock}\ndb: lmaps.db\n"
    )
    config = load_config(str(short_path / "lmaps.yaml"))
    uri = config.rpc.worker_bind
    ours, theirs = channel_pair()
    worker = multiprocessing.get_context("fork").Process(target=work, args=(uri, config, 1))
    worker.start()
    made = Manager(uri, config, "boot", SupervisorChannel(theirs))
    with made.serving():
        until(lambda: made.run_once() or made.state.slots)
        yield made
    os.kill(worker.pid or 0, signal.SIGTERM)
    worker.join(10)
    ours.close()
    theirs.close()


def apply(manager: Manager) -> int:
    job = manager.answer("apply", unit="web").job
    assert job is not None
    manager.state.signals.queue_changed = True
    return job


def state(manager: Manager, job: int) -> str:
    return str(manager.answer("job", job=job, wait_ms=0).extra["job"]["state"])


def connected(manager: Manager) -> WorkerSocket:
    """A connection of a worker that has not said anything yet."""
    link = WorkerSocket(manager.state.config.rpc.worker_bind, NO_SECRET)
    until(lambda: manager.run_once() or (link.poll([], 0.1) is not None and link.connected()))
    return link


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_a_worker_says_of_foreign_jobs(
    manager: Manager,
    short_path: Path,
    rounds: Callable[[int, int], int],
    seed: int,
    figure: Callable[[str, str], None],
) -> None:
    """The first half without a hello, the other half as the worker of another slot."""
    rng, count = random.Random(seed), rounds(200, 10_000)
    (short_path / "gate").touch()
    finished = apply(manager)
    until(lambda: manager.run_once() or state(manager, finished) == "succeeded")
    (short_path / "gate").unlink()
    running = apply(manager)
    until(lambda: manager.run_once() or state(manager, running) == "running")
    with manager._store.transaction() as tx:
        tokens = [job.token for job in tx.jobs.search() if job.token] + ["0" * 16]
    forger = connected(manager)
    for number in range(count):
        if number == count // 2:
            forger.close()
            forger = connected(manager)
            forger.send(Hello(2, os.getpid(), {}))
        token = rng.choice(tokens)
        forger.send(
            Result(token, rng.choice(["succeeded", "failed"]), rc=0)
            if rng.random() < 0.5
            else Lines(token, 1, [{"at": "now", "stream": "output", "text": "forged"}])
        )
        if number % 50 == 49:
            manager.run_once()
    assert state(manager, running) == "running"
    assert "forged" not in json.dumps(manager.answer("lines", job=running, wait_ms=0).extra)
    assert state(manager, finished) == "succeeded"
    forger.close()
    (short_path / "gate").touch()
    until(lambda: manager.run_once() or state(manager, running) == "succeeded")
    following = apply(manager)
    manager._dispatcher.on_worker_death(os.getpid())
    until(lambda: manager.run_once() or state(manager, following) == "succeeded")
    figure("56 forged results and output for foreign jobs", f"{count:,} messages: 0 accepted, jobs go on")
