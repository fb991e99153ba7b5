"""A manager and a worker of `lmaps.core`, made with nothing but their URI, each in a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmaps.core import tasks
from lmaps.core.client import Client
from lmaps.core.handlers import ManagerHandler
from lmaps.core.manager import Manager
from lmaps.errors import AnotherDaemon, HandlerFailed, NotFound
from tests.daemons import WEB, is_alive, until

Start = Callable[[str], "subprocess.Popen[bytes]"]
COMPLETED = {"host": "a", "port": 80, "tls": False}


@pytest.fixture
def place(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a configuration to be found."""
    (short_path / "units.d").mkdir()
    (short_path / "units.d" / "web.yaml").write_text(WEB)
    (short_path / "lmaps.yaml").write_text("rpc: {manager_bind: ipc://m.sock}\ndb: lmaps.db\n")
    monkeypatch.chdir(short_path)
    return short_path


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start a Manager or a Worker at the same URI, as a program."""
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str) -> "subprocess.Popen[bytes]":
        code = f"from lmaps.core.{name.lower()} import {name}; {name}('ipc://{place}/internal.sock').start()"
        started.append(subprocess.Popen([sys.executable, "-c", code], cwd=place))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


@pytest.fixture
def manager(place: Path, start: Start) -> Iterator[Manager]:
    """A manager that serves, with one worker."""
    start("Worker")
    made = Manager(f"ipc://{place}/internal.sock")
    with made.serving():
        yield made


def test_a_task_runs_by_its_name_and_as_the_function(place: Path, start: Start) -> None:
    manager = Manager(f"ipc://{place}/internal.sock")
    start("Worker")
    assert manager.run_task("no_work") == {}
    assert manager.run_task(tasks.no_work) == {}
    assert not manager.running
    assert sorted(path.name for path in place.iterdir() if path.suffix == ".sock") == []


def test_every_task(manager: Manager) -> None:
    assert manager.run_task(tasks.no_work) == {}
    assert manager.run_task(tasks.error_message, "said by a test") is None
    assert manager.run_task(tasks.get_worker_config)["db"].endswith("lmaps.db")
    assert [unit["meta"]["name"] for unit in manager.run_task(tasks.get_worker_units)] == ["web"]
    assert manager.run_task(tasks.validate_instance, "web", {"host": "a"}) == COMPLETED
    with pytest.raises(HandlerFailed, match="1 error"):
        manager.run_task(tasks.validate_instance, unit_name="web", instance={})
    manager.answer("create", unit="web", instances=[{"host": "a"}])
    assert manager.run_task(tasks.get_worker_units_instances, "web") == {"vhosts": [COMPLETED]}
    assert tasks.get_worker_units_instances(manager, "web") == {"vhosts": [COMPLETED]}
    assert manager.run_task(tasks.rollback_worker_units_instances, name="web")["removing"] == [{"host": "a"}]
    worker = manager.state.slots[1].pid
    assert manager.run_task(tasks.stop_worker_thread) == {}
    until(lambda: not is_alive(worker))


def test_what_is_no_task_is_refused_in_words(manager: Manager) -> None:
    for runnable in (len, os.system, lambda: None, object(), "os.system"):
        with pytest.raises(NotFound, match="it is no task; there are no_work"):
            manager.run_task(runnable)  # type: ignore[arg-type]


def test_the_manager_handler_answers_as_the_manager_does(manager: Manager) -> None:
    handler = ManagerHandler(context=manager)
    asked = handler.client_request({"v": 1, "verb": "units", "args": {}})
    assert [unit["unit"] for unit in asked["extra"]["units"]] == ["web"]
    answer = handler.create_or_apply({"create": True, "unit_name": "web", "instance": {"host": "a"}})
    assert (answer["level"], answer["revision"]) == (0, 1)
    assert handler.client_request({"show_summary": True, "unit_name": "web"})["extra"] == {"vhosts": [COMPLETED]}
    applied = handler.create_or_apply({"apply": True, "unit_name": "web"})
    assert (applied["level"], applied["message"]) == (0, "job 1 succeeded")
    refused = handler.create_or_apply({"create": True, "unit_name": "web", "instance": {"port": 1}})
    assert (refused["level"], refused["code"]) == (3, "invalid")
    assert refused["errors"][0]["message"]
    assert handler.client_request({})["code"] == "message-refused"


def test_manager_worker_and_client_in_processes_of_their_own(place: Path, start: Start) -> None:
    manager = start("Manager")
    start("Worker")
    with Client() as client:
        assert client.request({"list_units": True})["extra"]["units"][0]["unit"] == "web"
        client.request({"create": True, "unit_name": "web", "instance": {"host": "a"}})
        answer = client.request({"apply": True, "unit_name": "web"})
    assert (answer["level"], answer["extra"]["job"]["outcome"]) == (0, "succeeded")
    assert oct((place / "lmaps.db").stat().st_mode & 0o777) == "0o600"
    with pytest.raises(AnotherDaemon, match=f"pid {manager.pid}"), Manager(f"ipc://{place}/other.sock").serving():
        pass
