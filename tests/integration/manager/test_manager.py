"""A real manager with a real worker, in this process and in a forked one."""

import contextlib
import json
import math
import multiprocessing
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.api import conformance
from lmaps.config.load import load_config
from lmaps.errors import HandlerFailed, NotFound
from lmaps.manager import Manager, dispatcher, tasks
from lmaps.process import STOP_GRACE_S
from lmaps.protocol.work import TASKS
from lmaps.store import unique_index
from lmaps.util.heartbeat import MAX_MESSAGE_BYTES, SupervisorChannel, channel_pair
from lmaps.worker import tasks as worker_tasks
from lmaps.worker.worker import Worker
from tests.daemons import WEB, is_alive, until

TELL = """\
meta: {name: tell, primary_key: id, data_type: YamlList}
handler: {type: command, args: {argv: [cat]}}
params: {type: object, required: [id], properties: {id: {type: integer}}}
"""


def work(uri: str, config: Any, slot: int) -> None:
    Worker(uri, config, slot).start()


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The supervisor's end of the manager's line, and the manager's."""
    ours, theirs = channel_pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def manager(short_path: Path, line: tuple[socket.socket, socket.socket]) -> Iterator[Manager]:
    (short_path / "units.d").mkdir()
    (short_path / "units.d" / "web.yaml").write_text(WEB)
    (short_path / "lmaps.yaml").write_text(
        "rpc: {manager_bind: ipc://m.sock, worker_bind: ipc://w.sock}\ndb: lmaps.db\n"
    )
    config = load_config(str(short_path / "lmaps.yaml"))
    uri = config.rpc.worker_bind
    worker = multiprocessing.get_context("fork").Process(target=work, args=(uri, config, 1))
    worker.start()
    made = Manager(uri, config, "boot", SupervisorChannel(line[1]))
    with made.serving():
        until(lambda: made.run_once() or made.state.slots)
        yield made
    os.kill(worker.pid or 0, signal.SIGCONT)
    os.kill(worker.pid or 0, signal.SIGTERM)
    worker.join(10)
    assert worker.exitcode == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_every_task_is_run_by_its_name(manager: Manager) -> None:
    assert manager.run_task("no_work") == {}
    assert manager.run_task("error_message", "said by a test") is None
    assert manager.run_task("get_worker_config")["db"].endswith("lmaps.db")
    assert [unit["meta"]["name"] for unit in manager.run_task("get_worker_units")] == ["web"]
    completed = {"host": "a", "port": 80, "tls": False}
    assert manager.run_task("validate_instance", "web", {"host": "a"}) == completed
    assert manager.run_task("check_units") == {}
    manager.answer("create", unit="web", instances=[{"host": "a"}])
    assert manager.run_task("get_worker_units_instances", "web") == {"vhosts": [completed]}
    undone = manager.run_task("rollback_worker_units_instances", name="web")
    assert (undone["removing"], undone["after"]) == ([{"host": "a"}], {"vhosts": []})
    worker = manager.state.slots[1].pid
    assert manager.run_task("stop_worker_thread") == {}
    until(lambda: not is_alive(worker))  # it leaves by itself, and is not to be told so once more on its way


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_task_that_fails_raises_its_words(manager: Manager) -> None:
    with pytest.raises(HandlerFailed, match="cannot run validate_instance: .*1 error"):
        manager.run_task("validate_instance", "web", {"host": 1})
    with pytest.raises(HandlerFailed, match="TypeError"):
        manager.run_task("validate_instance")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_no_other_name_is_a_task(manager: Manager) -> None:
    names = {*dir(worker_tasks), *dir(tasks), *dir(object), "os.system", "__import__", "tasks.apply", ""}
    for name in names - {*TASKS, *tasks.TASKS}:
        with pytest.raises(NotFound, match="it is no task"):
            manager.run_task(name)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_does_not_come_to_an_end_is_to_be_replaced(
    manager: Manager, line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "TASK_TIMEOUT_S", -STOP_GRACE_S - dispatcher.EXIT_GRACE_S + 0.2)
    assert manager.run_task("no_work") == {}
    os.kill(manager.state.slots[1].pid, signal.SIGSTOP)
    heard: list[dict[str, Any]] = []

    def asks() -> bool:
        manager.run_once()
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(json.loads(line[0].recv(MAX_MESSAGE_BYTES)))
        return {"replace": 1} in heard

    manager._dispatcher.call("no_work", [], {}, lambda _result: None)
    until(asks)
    manager._dispatcher.on_worker_death(manager.state.slots[1].pid)
    assert manager.state.slots[1].state == "gone"
    until(lambda: manager.run_once() or select.select([line[0]], [], [], 0)[0])
    assert heard.count({"replace": 1}) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_job_waits_while_no_worker_is_there(manager: Manager) -> None:
    manager.answer("create", unit="web", instances=[{"host": "a"}])
    manager._dispatcher.on_worker_death(manager.state.slots[1].pid)
    job = manager.answer("apply", unit="web").job
    for _ in range(3):
        manager.state.signals.queue_changed = True
        manager.run_once()
    assert manager.answer("job", job=job).extra["job"]["state"] == "queued"
    manager.state.slots[1].gone = False
    manager.state.signals.queue_changed = True
    until(lambda: manager.run_once() or manager.answer("job", job=job).extra["job"]["state"] == "succeeded")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_job_gets_all_of_its_state_in_parts_as_it_was_when_it_began(
    manager: Manager, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "PAGE_SIZE", 3)
    (short_path / "units.d" / "tell.yaml").write_text(TELL)
    manager._reload()
    there = [{"id": number} for number in range(10)]
    manager.answer("create", unit="tell", instances=there)
    job = manager.answer("apply", unit="tell").job
    until(lambda: manager.run_once() or manager.answer("job", job=job).extra["job"]["state"] == "running")
    manager.answer("delete", unit="tell", ids=["4", "9"])
    manager.answer("create", unit="tell", instances=[{"id": 10}])
    until(lambda: manager.run_once() or manager.answer("job", job=job).extra["job"]["state"] == "succeeded")
    [line] = manager.answer("lines", job=job).extra["lines"]
    assert json.loads(line["text"]) == there


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_no_longer_fits_is_found_while_nobody_waits(
    manager: Manager, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "BATCH_SIZE", 2)
    manager.answer("create", unit="web", instances=[{"host": f"h{port}", "port": port} for port in range(73, 82)])
    (short_path / "units.d" / "web.yaml").write_text(WEB.replace("65535", "80"))
    manager._reload()
    assert manager.answer("units").extra["units"][0]["condition"] == "pending 1"
    until(lambda: manager.run_once() or not manager.state.conformance.unfinished)
    assert manager.answer("units").extra["units"][0]["condition"] == "invalid"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_unique_values_are_known_before_they_are_asked_for(
    manager: Manager, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unique_index, "PART_SIZE", 2)
    manager.answer("create", unit="web", instances=[{"host": f"h{port}", "port": port} for port in range(73, 82)])
    web = WEB.replace("primary_key: host", "primary_key: host, unique: [/port]")
    assert web != WEB
    (short_path / "units.d" / "web.yaml").write_text(web)
    manager._reload()
    until(lambda: manager.run_once() or manager._background.deadline == math.inf)
    with manager._store.transaction() as tx:
        assert tx.unique_index.extend("web", ("port",)), "it takes several parts"
