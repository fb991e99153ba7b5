"""A real manager with a real worker, in this process and in a forked one."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.core import tasks
from lmaps.core.config import load_config
from lmaps.core.manager import Manager
from lmaps.core.worker import Worker
from lmaps.errors import HandlerFailed, NotFound
from tests.daemons import WEB, until


def work(uri: str, config: Any, slot: int) -> None:
    Worker(uri, config, slot).start()


@pytest.fixture
def manager(short_path: Path) -> Iterator[Manager]:
    (short_path / "units.d").mkdir()
    (short_path / "units.d" / "web.yaml").write_text(WEB)
    (short_path / "lmaps.yaml").write_text(
        "rpc: {manager_bind: ipc://m.sock, worker_bind: ipc://w.sock}\ndb: lmaps.db\n"
    )
    config = load_config(str(short_path / "lmaps.yaml"))
    uri = config["rpc"]["worker_bind"]
    worker = multiprocessing.get_context("fork").Process(target=work, args=(uri, config, 1))
    worker.start()
    made = Manager(uri, config, "boot")
    with made.serving():
        until(lambda: made.turn() or made.service.slots)
        yield made
    os.kill(worker.pid or 0, signal.SIGTERM)
    worker.join(10)
    assert worker.exitcode == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_every_task_is_run_by_its_name(manager: Manager) -> None:
    assert manager.run_task("no_work") == {}
    assert manager.run_task(tasks.no_work) == {}
    assert manager.run_task(tasks.error_message, "said by a test") is None
    assert manager.run_task(tasks.get_worker_config)["db"].endswith("lmaps.db")
    assert [unit["meta"]["name"] for unit in manager.run_task(tasks.get_worker_units)] == ["web"]
    completed = {"host": "a", "port": 80, "tls": False}
    assert manager.run_task(tasks.validate_instance, "web", {"host": "a"}) == completed
    assert manager.run_task(tasks.check_units) == {}
    manager.answer("create", unit="web", instances=[{"host": "a"}])
    assert manager.run_task(tasks.get_worker_units_instances, "web") == {"vhosts": [completed]}
    undone = manager.run_task(tasks.rollback_worker_units_instances, name="web")
    assert (undone["removing"], undone["after"]) == ([{"host": "a"}], {"vhosts": []})
    assert manager.run_task(tasks.stop_worker_thread) == {}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_task_that_fails_raises_its_words(manager: Manager) -> None:
    with pytest.raises(HandlerFailed, match="cannot run validate_instance: .*1 error"):
        manager.run_task("validate_instance", "web", {"host": 1})
    with pytest.raises(HandlerFailed, match="TypeError"):
        manager.run_task("validate_instance")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_no_other_name_is_a_task(manager: Manager) -> None:
    for name in {*dir(tasks), *dir(object), "os.system", "__import__", "tasks.apply", ""} - tasks.TASKS.keys():
        with pytest.raises(NotFound, match="it is no task"):
            manager.run_task(name)
