"""The tasks that the manager answers itself."""

from types import SimpleNamespace

from lmaps.manager import tasks
from lmaps.protocol import Reply, work


def test_each_task_has_one_runner():
    assert set(tasks.TASKS) == {"get_worker_units_instances", "rollback_worker_units_instances"}
    assert not set(tasks.TASKS) & set(work.TASKS)
    assert all(task.__doc__ for task in tasks.TASKS.values())


def test_the_tasks_ask_the_manager():
    asked = []

    def answer(verb, **args):
        asked.append((verb, args))
        return Reply("done", extra={"state": {"a": 1}})

    manager = SimpleNamespace(answer=answer)
    assert tasks.get_worker_units_instances(manager, "web") == {"a": 1}
    assert tasks.rollback_worker_units_instances(manager, "web") == {"state": {"a": 1}}
    assert asked == [("show", {"unit": "web", "reveal": True}), ("rollback", {"unit": "web", "states": True})]
