"""The tasks that read or change the state: the manager answers them itself, through its endpoints."""

from collections.abc import Callable
from typing import Any, Protocol

from lmaps.protocol import Reply
from lmaps.util.jsonio import JsonObject, plain


class AnswersRequests(Protocol):
    """The manager, as far as its tasks use it."""

    def answer(self, verb: str, **args: object) -> Reply:
        """Answer a request of this process itself."""


def get_worker_units_instances(manager: AnswersRequests, name: str) -> object:
    """Return the state of a unit, as its handler gets it."""
    return plain(manager.answer("show", unit=name, reveal=True).extra["state"])


def rollback_worker_units_instances(manager: AnswersRequests, name: str) -> JsonObject:
    """Take a unit's newest change back; return its ``removing``, ``before`` and ``after``."""
    extra: JsonObject = manager.answer("rollback", unit=name, states=True).extra
    return extra


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task for task in (get_worker_units_instances, rollback_worker_units_instances)
}
"""Every task that the manager runs, by name."""
