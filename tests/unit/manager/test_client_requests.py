"""The way from a decoded request to its endpoint."""

from typing import Any

import pytest

from lmaps.api.registry import ENDPOINTS, Endpoint
from lmaps.errors import MessageRefused, NotFound
from lmaps.manager.client_requests import Route, find_route
from lmaps.model.states import Door
from lmaps.protocol import Reply, Request

ANYBODY: Any = None
"""The context of a request whose form is changed back without looking at who asks."""


def test_a_request_leads_to_its_endpoint():
    route = find_route({"v": 1, "verb": "show", "args": {"unit": "web"}})
    assert route == Route(ENDPOINTS["show"], Request("show", {"unit": "web"}), Door.API, None)
    with pytest.raises(NotFound, match="did you mean show?"):
        find_route({"v": 1, "verb": "shwo"})
    with pytest.raises(MessageRefused):
        find_route({"v": 9, "verb": "show"})


@pytest.mark.parametrize(("door", "seen"), [("cli", "cli"), ("legacy", "api"), ("x", "api"), (None, "api")])
def test_a_request_names_no_other_door_than_the_command_line(door, seen):
    assert find_route({"v": 1, "verb": "show", "door": door}).door == seen


def test_a_request_of_the_original_leads_to_the_same_endpoint_and_back_to_its_form():
    route = find_route({"show_summary": True, "unit_name": "web"})
    assert (route.endpoint, route.request) == (ENDPOINTS["show"], Request("show", {"unit": "web"}))
    assert route.door == Door.LEGACY
    assert route.finish(ANYBODY, Reply("shown", extra={"state": {"a": 1}, "more": 2})).extra == {"a": 1}
    with pytest.raises(MessageRefused):
        find_route({"show_summary": True})


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
def test_no_other_name_does_anything(name):
    with pytest.raises(NotFound):
        find_route({"v": 1, "verb": name})
