"""The table of tasks; how they run in a real worker is tested with the manager."""

import logging
from types import SimpleNamespace

import pytest

from lmaps.config.load import load_config
from lmaps.errors import HandlerFailed, UnitUnusable, ValidationFailed
from lmaps.handlers import find_handlers
from lmaps.model.units import load_units
from lmaps.protocol import work
from lmaps.worker import tasks
from tests.daemons import WEB


@pytest.fixture
def worker(tmp_path):
    """What a task is given as its context."""
    (tmp_path / "units.d").mkdir()
    (tmp_path / "units.d" / "web.yaml").write_text(WEB)
    (tmp_path / "lmaps.yaml").write_text("db: lmaps.db\n")
    config = load_config(str(tmp_path / "lmaps.yaml"))
    return SimpleNamespace(
        config=config,
        handlers=find_handlers(),
        jobs_folder=tmp_path / "jobs",
        emit=None,
        beat=lambda: None,
        fork_servers=None,
        log=logging.getLogger("test"),
        stopped=False,
    )


def digest(worker):
    return load_units(worker.config).units["web"].digest


def test_the_documented_tasks_are_in_the_table():
    assert set(tasks.TASKS) >= {
        "no_work", "error_message", "stop_worker_thread", "get_worker_config", "get_worker_units",
        "validate_instance",
    }  # fmt: skip
    assert all(task.__doc__ for task in tasks.TASKS.values())
    assert tuple(tasks.TASKS) == work.TASKS, "the manager knows the tasks by these names"


def test_error_message_logs(worker, caplog):
    tasks.error_message(worker, "said here")
    assert caplog.messages == ["said here"]


def test_validate_instance(worker):
    assert tasks.validate_instance(worker, "web", {"host": "a"}) == {"host": "a", "port": 80, "tls": False}
    with pytest.raises(ValidationFailed):
        tasks.validate_instance(worker, "web", {"host": "a", "port": 0})


def test_apply_refuses_a_unit_that_has_changed(worker):
    with pytest.raises(HandlerFailed, match="has changed since it was loaded; run lmaps reload"):
        tasks.apply(worker, "web", "another digest", 1, 1, [], [])


def test_apply_refuses_a_document_that_does_not_fit_whatever_the_manager_says(worker):
    bad = [{"host": "a", "port": 99999, "tls": False}]
    with pytest.raises(ValidationFailed, match=r"a no longer fits: \$.port the value is more than 65535"):
        tasks.apply(worker, "web", digest(worker), 1, 1, [{"host": "a"}], bad)
    assert not worker.jobs_folder.exists()


def test_apply_says_with_each_document_that_it_goes_on(worker):
    beats = []
    worker.beat = lambda: beats.append(1)
    given = [{"host": f"h{number}"} for number in range(50)]
    completed = [{**one, "port": 80, "tls": False} for one in given]
    with pytest.raises(ValidationFailed):
        tasks.apply(worker, "web", digest(worker), 1, 1, given, [*completed[:-1], {"host": 1}])
    assert len(beats) >= 50


@pytest.mark.parametrize("job", ["../kept", "/", "7", True, None])
def test_a_job_names_no_folder(worker, job):
    kept = worker.jobs_folder.parent / "kept"
    kept.mkdir()
    with pytest.raises(HandlerFailed, match="a job is a number"):
        tasks.apply(worker, "web", digest(worker), 1, job if job != "/" else str(kept), [], [])
    assert kept.exists()


def test_apply_refuses_a_handler_that_is_not_there(worker, tmp_path):
    (tmp_path / "units.d" / "web.yaml").write_text(WEB.replace("noop", "nothing"))
    with pytest.raises(UnitUnusable, match="cannot find the handler 'nothing'"):
        tasks.apply(worker, "web", digest(worker), 1, 1, [], [])


def test_a_handler_that_cannot_start_leaves_no_folder(worker, tmp_path):
    (tmp_path / "units.d" / "web.yaml").write_text(WEB.replace("type: noop", "type: command, args: {argv: [/nothing]}"))
    with pytest.raises(HandlerFailed, match="there is no such program"):
        tasks.apply(worker, "web", digest(worker), 1, 7, [], [])
    assert list(worker.jobs_folder.iterdir()) == []


def test_check_units_tells_what_handlers_have_against_their_units(worker, tmp_path):
    assert tasks.check_units(worker) == {}
    (tmp_path / "units.d" / "web.yaml").write_text(WEB.replace("type: noop", "type: command, args: {argv: [./gone]}"))
    [finding] = tasks.check_units(worker)["web"]
    assert "there is no program" in finding["message"]
