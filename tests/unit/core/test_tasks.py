"""The tasks called by hand; tests/integration/core has a manager run them."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from lmaps.core import tasks
from lmaps.errors import LmapsError, NotFound, ValidationFailed
from lmaps.manager import tasks as manager_tasks
from lmaps.protocol import work
from tests.daemons import WEB
from tests.unit.core.test_reference import REFERENCE


@pytest.fixture(autouse=True)
def found(own_home: Path) -> Path:
    """The configuration that is found, with the unit web."""
    (own_home / "units.d").mkdir()
    (own_home / "units.d" / "web.yaml").write_text(WEB)
    (own_home / "lmaps.yaml").write_text("db: lmaps.db\n")
    return own_home


def test_each_of_them_can_be_run_by_its_name() -> None:
    assert set(REFERENCE["tasks"]) <= {*work.TASKS, *manager_tasks.TASKS}


def test_no_work() -> None:
    assert tasks.no_work(None) == {}  # type: ignore[arg-type]  # the original's callers pass None


@pytest.mark.parametrize("context", [None, SimpleNamespace(log=logging.getLogger("worker"))])
def test_error_message(context: object, caplog: pytest.LogCaptureFixture) -> None:
    assert tasks.error_message(context, "said here") is None
    assert caplog.messages == ["said here"]


def test_get_worker_config(found: Path) -> None:
    assert tasks.get_worker_config(None)["db"] == str(found / "lmaps.db")
    assert tasks.get_worker_config(SimpleNamespace(config={"db": "x", "document": object()})) == {"db": "x"}


def test_get_worker_units() -> None:
    assert [unit["meta"]["name"] for unit in tasks.get_worker_units(None)] == ["web"]


def test_validate_instance() -> None:
    assert tasks.validate_instance(None, "web", {"host": "a"}) == {"host": "a", "port": 80, "tls": False}
    with pytest.raises(ValidationFailed):
        tasks.validate_instance(None, "web", {"port": 0})
    with pytest.raises(NotFound):
        tasks.validate_instance(None, "wed", {})


@pytest.mark.parametrize("context", [None, "here"])
def test_those_that_need_a_worker_or_a_manager_say_so(context: object) -> None:
    with pytest.raises(LmapsError, match="cannot stop the worker"):
        tasks.stop_worker_thread(context)
    for task in (tasks.get_worker_units_instances, tasks.rollback_worker_units_instances):
        with pytest.raises(LmapsError, match="cannot reach the state of web"):
            task(context, "web")
