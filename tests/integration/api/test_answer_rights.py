"""What the answers of endpoints that change something contain: documents only for subjects that may show them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmaps import Client
from lmaps.api.registry import ENDPOINTS
from lmaps.protocol import Request
from tests.daemons import RunningDaemon

Start = Callable[..., RunningDaemon]

OLDER, NEWEST = "canary-older", "canary-newest"
UNIT = """\
meta: {{name: {name}, primary_key: id}}
params: {{type: object, required: [id], properties: {{id: {{type: string}}, text: {{type: string}}}}}}
"""
OTHERS = ("show", "export", "list", "admin", "import", "cancel")
"""Rights of endpoints that read, that stop a job, or whose subject gives the documents for a whole unit itself."""
RIGHTS = "[create, rollback, apply, admin]"

OTHER_TEXT = {"id": "a", "text": "other"}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("create", {"instances": [{"id": "b"}]}),
    ("create", {"instances": [{"id": "b"}], "dry_run": True}),
    ("create", {"instances": [OTHER_TEXT]}),
    ("set", {"id": "a", "instance": OTHER_TEXT}),
    ("set", {"id": "a", "instance": OTHER_TEXT, "dry_run": True}),
    ("set", {"id": "a", "unset": ["/text"], "dry_run": True}),
    ("set", {"id": "a", "unset": ["/text"], "if_rev": "FIRST"}),
    ("delete", {"ids": ["a"]}),
    ("delete", {"ids": ["a"], "dry_run": True}),
    ("delete", {"ids": ["a"], "if_rev": "FIRST"}),
    ("rollback", {}),
    ("rollback", {"states": True}),
    ("rollback", {"states": True, "dry_run": True}),
    ("rollback", {"to": "FIRST", "states": True}),
    ("redo", {}),
    ("redo", {"states": True}),
    ("redo", {"dry_run": True}),
    ("revert", {"revision": "FIRST", "states": True}),
    ("revert", {"revision": "FIRST", "dry_run": True}),
    ("revert", {"revision": "SECOND", "states": True}),
    ("revert", {"revision": "SECOND", "dry_run": True}),
    ("apply", {}),
    ("apply", {"instances": [{"id": "b"}]}),
    ("plan", {}),
    ("plan_check", {}),
    ("confirm", {}),
]
WITH_DOCUMENTS = {
    "set": {"dry_run", "if_rev"},
    "delete": {"dry_run", "if_rev"},
    "rollback": {"", "states", "dry_run"},
    "redo": {"", "states", "dry_run"},
    "revert": {"revision"},
    "plan": {""},
}


def test_every_such_endpoint_is_asked() -> None:
    changing = {name for name, endpoint in ENDPOINTS.items() if endpoint.right not in OTHERS}
    assert {verb for verb, _ in CALLS} == changing


@pytest.fixture
def daemon(start_daemon: Start, short_path: Path) -> RunningDaemon:
    """Serves a unit for each call, with two revisions of one instance."""
    (short_path / "policy.yaml").touch()
    return start_daemon("---\n".join(UNIT.format(name=f"u{n}") for n in range(len(CALLS))), policy="../policy.yaml")


def ask_all(daemon: RunningDaemon, rights: str) -> dict[str, str]:
    """The answers of all calls, as text, to a subject with these rights."""
    answers = {}
    revisions = []
    with Client(daemon.endpoint) as client:
        for number, (verb, _) in enumerate(CALLS):
            unit = f"u{number}"
            first = client.call("create", unit=unit, instances=[{"id": "a", "text": OLDER}]).revision
            second = client.call("set", unit=unit, id="a", instance={"id": "a", "text": NEWEST}).revision
            revisions.append({"FIRST": f"r{first}", "SECOND": f"r{second}"})
            if verb == "redo":
                client.call("rollback", unit=unit)
        me = f"uid:{os.getuid()}"
        text = (
            f"- {{subjects: '{me}', rights: {rights}, units: '*'}}\n- {{subjects: '{me}', rights: none, units: '*'}}\n"
        )
        (daemon.directory.parent / "policy.yaml").write_text(text)
        client.call("reload")
        for number, (verb, args) in enumerate(CALLS):
            named = {name: revisions[number].get(str(value), value) for name, value in args.items()}
            reply = client.ask(Request(verb, {"unit": f"u{number}", **named}))
            assert reply.code != "not-allowed", (verb, args, reply.message)
            answers[f"{number} {verb} {args}"] = json.dumps(reply.to_json())
    return answers


def test_without_the_right_show_no_answer_has_a_document(daemon: RunningDaemon) -> None:
    answers = ask_all(daemon, RIGHTS)
    assert [(call, text) for call, text in answers.items() if OLDER in text or NEWEST in text] == []


def test_with_the_right_show_they_are_there(daemon: RunningDaemon) -> None:
    answers = ask_all(daemon, RIGHTS.replace("[", "[list, show, "))
    shown = {call for call, text in answers.items() if OLDER in text or NEWEST in text}
    for number, (verb, args) in enumerate(CALLS):
        expected = bool(WITH_DOCUMENTS.get(verb, set()) & {*args, "" if not args else verb})
        assert (f"{number} {verb} {args}" in shown) == expected, (verb, args, answers[f"{number} {verb} {args}"])
