"""Handlers; `ManagerHandler` in a manager that serves is tested in tests/integration/core."""

from types import SimpleNamespace

import pytest

from lmaps.core.handlers import Handler, ManagerHandler, UnitHandler
from lmaps.errors import LmapsError
from lmaps.handlers import base


@pytest.mark.parametrize("kind", [Handler, UnitHandler, ManagerHandler])
def test_a_handler_is_set_up_in_its_context(kind: type[Handler]) -> None:
    class Own(kind):  # type: ignore[valid-type]
        def setup(self) -> None:
            self.seen = self.context

    assert Own(context="here").seen == "here"
    assert Own(context="here").context == "here"
    assert kind().context is None
    kind().setup()


def test_a_unit_handler_is_one_of_today() -> None:
    assert issubclass(UnitHandler, base.UnitHandler)
    assert not UnitHandler.is_pure_python()


@pytest.mark.parametrize("context", [None, "here", SimpleNamespace(running=True)])
def test_a_manager_handler_without_a_manager_says_so(context: object) -> None:
    handler = ManagerHandler(context=context)
    for answer in (handler.client_request, handler.create_or_apply):
        with pytest.raises(LmapsError, match="no manager that serves"):
            answer({"list_units": True})
