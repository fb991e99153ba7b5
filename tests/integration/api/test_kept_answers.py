"""Answers under request keys: each subject has its own, and sees of them what it may see now."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lmaps.api.context import Invocation, RequestContext
from lmaps.config.policy import parse_policy
from lmaps.errors import Conflict, NotFound
from lmaps.model.policy import Policy
from lmaps.model.states import JobKind
from lmaps.protocol import VERSION, Reply
from lmaps.util import jsonio
from tests.in_process import InProcess, respond

TEXT = """\
meta: {name: web, primary_key: id}
params: {type: object, required: [id], properties: {id: {type: string}, text: {type: string}}}
"""


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path, TEXT) as made:
        made.call("create", unit="web", instances=[{"id": "a", "text": "older"}])
        made.call("set", unit="web", id="a", instance={"id": "a", "text": "newer"})
        yield made


def ask(lmaps: InProcess, rights: str, verb: str, *, uid: int = 61001, key: str = "k", **args: Any) -> Reply:
    """The answer to a subject with these rights."""
    return send(lmaps, rights, uid, {"v": VERSION, "verb": verb, "args": args, "key": key})


def ask_for(lmaps: InProcess, key: str, uid: int) -> Reply:
    """What became of the request of a subject under this key."""
    return send(lmaps, "show", uid, {"v": VERSION, "verb": "request", "args": {"key": key}})


def send(lmaps: InProcess, rights: str, uid: int, request: dict[str, Any]) -> Reply:
    lines = parse_policy(json.dumps([{"subjects": f"uid:{uid}", "rights": rights.split(), "units": "*"}]), "p.yaml")
    lmaps.service.policy = Policy(lines)
    with lmaps.store.transaction() as tx:
        answer = respond(RequestContext(lmaps.service, tx, lmaps.service.policy.subject(uid, 62999)), request)
    assert isinstance(answer, Reply)
    return answer


@pytest.mark.parametrize("verb", ["rollback", "redo", "revert"])
def test_a_repeated_request_shows_what_may_be_seen_now(lmaps: InProcess, verb: str) -> None:
    args: dict[str, Any] = {"unit": "web", "states": True} | ({"revision": "r2"} if verb == "revert" else {})
    if verb == "redo":
        lmaps.call("rollback", unit="web")
    first = ask(lmaps, "rollback show", verb, **args)
    removing = "older" if verb == "redo" else "newer"
    assert first.extra["removing"] == [{"id": "a", "text": removing}]
    assert first.extra["before"] != first.extra["after"]
    assert ask(lmaps, "rollback show", verb, **args) == first
    blind = ask(lmaps, "rollback", verb, **args)
    assert first.extra.keys() - blind.extra.keys() == {"removing", "before", "after"}
    assert "newer" not in blind.text and "older" not in blind.text
    assert ask(lmaps, "rollback show", verb, **args) == first  # with the right they are there again
    with lmaps.store.transaction() as tx:
        [kept] = tx.session.connection.exec_driver_sql("SELECT answer FROM request").scalars()
    assert "newer" not in kept and "older" not in kept


def test_documents_in_a_repeated_answer_follow_the_marks_of_now(lmaps: InProcess) -> None:
    args: dict[str, Any] = {"unit": "web", "states": True}
    assert "newer" in ask(lmaps, "rollback show", "rollback", **args).text
    lmaps.load(TEXT.replace("text: {type: string}", "text: {type: string, x-lmaps-secret: true}"))
    text = ask(lmaps, "rollback show", "rollback", **args).text
    assert "removing" in text and "newer" not in text and "older" not in text


def test_documents_that_are_no_longer_kept_are_left_out(lmaps: InProcess) -> None:
    args: dict[str, Any] = {"unit": "web", "states": True}
    ask(lmaps, "rollback show", "rollback", **args)
    lmaps.call("create", unit="web", instances=[{"id": "b"}])
    with lmaps.store.transaction() as tx:
        tx.changesets.retain("web", 1, None)
    assert ask(lmaps, "rollback show", "rollback", **args).extra.keys().isdisjoint({"removing", "before", "after"})


def test_who_runs_before_a_job_is_told_with_the_right_show(lmaps: InProcess) -> None:
    with lmaps.store.transaction() as tx:
        job = tx.jobs.add("web", JobKind.APPLY, 1, "digest", Invocation(lmaps.service, tx, lmaps.subject).origin)
        tx.jobs.update(job.id, state="running", started_at="2026-01-01T00:00:00.000000Z")
    first = ask(lmaps, "apply show", "apply", unit="web")
    assert first.extra["job"]["after"]["author"] == lmaps.subject.name
    assert first.extra["job"]["author"] == "61001"
    blind = ask(lmaps, "apply", "apply", unit="web")
    assert (blind.job, blind.extra["job"]["after"], blind.extra["job"]["author"]) == (first.job, None, None)


def test_an_answer_that_an_older_lmaps_has_kept_is_its_subjects(lmaps: InProcess) -> None:
    """It is stored under the key as it came, and with documents."""
    args: dict[str, Any] = {"unit": "web", "states": True}
    first = ask(lmaps, "rollback show", "rollback", key="other", **args)
    digest = sha256(jsonio.canonical(["rollback", args, "uid:61001"]).encode()).hexdigest()
    with lmaps.store.transaction() as tx:
        tx.session.connection.exec_driver_sql("DELETE FROM request")
        tx.requests.add("other", digest, "rollback", "web", first.text, first.revision)
        tx.session.cache.older_requests = None  # as after a start
    blind = ask(lmaps, "rollback", "rollback", key="other", **args)
    assert (blind.revision, "newer" in blind.text) == (first.revision, False)
    own = ask_for(lmaps, "other", 61001)
    assert own.extra["answer"]["revision"] == first.revision and "newer" not in own.text
    with pytest.raises(Conflict, match="was used for another request"):
        ask(lmaps, "rollback", "redo", key="other", unit="web")
    with pytest.raises(NotFound, match="nothing was done under the key other"):
        ask_for(lmaps, "other", 61002)
    assert ask(lmaps, "rollback", "rollback", key="other", uid=61002, **args).revision != first.revision


def test_a_key_that_another_subject_has_used_is_free(lmaps: InProcess) -> None:
    first = ask(lmaps, "rollback", "rollback", unit="web")
    second = ask(lmaps, "rollback", "rollback", uid=61002, unit="web")
    assert (first.extra["undone"], second.extra["undone"]) == (2, 1)
    assert ask(lmaps, "rollback", "rollback", uid=61002, unit="web") == second
    assert [ask_for(lmaps, "k", uid).revision for uid in (61001, 61002)] == [first.revision, second.revision]
    with pytest.raises(NotFound, match="nothing was done under the key k"):
        ask_for(lmaps, "k", 61003)


def test_nobody_can_guess_a_request_from_what_is_kept_of_it(lmaps: InProcess) -> None:
    args: dict[str, Any] = {"unit": "web", "instances": [{"id": "b", "text": "guessed"}]}
    first = ask(lmaps, "create", "create", **args)
    assert ask(lmaps, "create", "create", **args) == first
    guess = sha256(jsonio.canonical(["create", args, "uid:61001"]).encode()).hexdigest()
    with lmaps.store.transaction() as tx:
        [kept] = tx.session.connection.exec_driver_sql("SELECT digest FROM request").scalars()
    assert len(kept) == len(guess) and kept != guess
