"""The way from a decoded request to its endpoint."""

from types import SimpleNamespace

import pytest

from lmaps.api.registry import ENDPOINTS, Endpoint
from lmaps.errors import MessageRefused, NotFound
from lmaps.manager.client_requests import Route, find_route
from lmaps.protocol import Reply, Request


@pytest.fixture
def visit():
    """What a request comes in with, as far as its way needs it."""
    return SimpleNamespace(manager=SimpleNamespace(beat=lambda: None), door="api")


def test_a_request_leads_to_its_endpoint(visit):
    route = find_route(visit, {"v": 1, "verb": "show", "args": {"unit": "web"}})
    assert route == Route(ENDPOINTS["show"], Request("show", {"unit": "web"}), None)
    assert visit.door == "api"
    with pytest.raises(NotFound, match="did you mean show?"):
        find_route(visit, {"v": 1, "verb": "shwo"})
    with pytest.raises(MessageRefused):
        find_route(visit, {"v": 9, "verb": "show"})


@pytest.mark.parametrize(("door", "seen"), [("cli", "cli"), ("legacy", "api"), ("x", "api"), (None, "api")])
def test_a_request_names_no_other_door_than_the_command_line(visit, door, seen):
    find_route(visit, {"v": 1, "verb": "show", "door": door})
    assert visit.door == seen


def test_a_request_of_the_original_leads_to_the_same_endpoint_and_back_to_its_form(visit):
    route = find_route(visit, {"show_summary": True, "unit_name": "web"})
    assert (route.endpoint, route.request) == (ENDPOINTS["show"], Request("show", {"unit": "web"}))
    assert visit.door == "legacy"
    assert route.finished(visit, Reply("shown", extra={"state": {"a": 1}, "more": 2})).extra == {"a": 1}
    with pytest.raises(MessageRefused):
        find_route(visit, {"show_summary": True})


@pytest.mark.parametrize(
    "name",
    [
        *dir(object),
        *dir(Endpoint),
        *dir(ENDPOINTS),
        "ENDPOINTS.show",
        "show.answer",
        "__class__.__init__",
        "",
        "os.system",
    ],
)
def test_no_other_name_does_anything(visit, name):
    with pytest.raises(NotFound):
        find_route(visit, {"v": 1, "verb": name})
