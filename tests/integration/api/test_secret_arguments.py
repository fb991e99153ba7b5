"""A secret that was an argument of the client's command: the answer warns, whatever else it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.api.context import RequestContext
from lmaps.api.registry import ENDPOINTS
from lmaps.errors import AlreadyExists, LmapsError, UsageError, ValidationFailed
from lmaps.model.states import Door
from lmaps.protocol import Reply, Request
from tests.in_process import InProcess
from tests.integration.api.test_masks import DOCUMENT, UNIT


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path, UNIT) as made:
        made.call("create", unit="db", instances=[DOCUMENT])
        yield made


def texts(*pairs: str, **more: bool) -> list[dict[str, Any]]:
    return [{"path": path, "text": text, **more} for path, _, text in (pair.partition("=") for pair in pairs)]


def ask(lmaps: InProcess, verb: str, door: Door = Door.CLI, key: str | None = None, **args: Any) -> Reply:
    with lmaps.store.transaction() as tx:
        context = RequestContext(lmaps.service, tx, lmaps.subject, door)
        reply = ENDPOINTS[verb].answer(context, Request(verb, args, key=key))
    assert isinstance(reply, Reply)
    return reply


def warned(reply: Reply) -> list[str]:
    return [warning["path"] for warning in reply.extra.get("warnings", ())]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("pairs", "paths"),
    [
        (["/password=x"], ["$.password"]),
        (["/tls/key=x", "/port=2"], ["$.tls.key"]),
        (["/tls={key: x}"], ["$.tls"]),
        (["/token/part=x"], ["$.token.part"]),
        (["/users/1/password=x", "/users/1/shell=x"], ["$.users[1].password"]),
        (["/users=[{name: x, password: y}]"], ["$.users"]),
        (["/password=x", "/tls/key=x"], ["$.password", "$.tls.key"]),
        (["/port=2", "/tls={}", "/unknown=x"], []),
    ],
)
def test_a_secret_on_the_command_line(lmaps: InProcess, pairs: list[str], paths: list[str], dry_run: bool) -> None:
    lmaps.call("set", unit="db", id="a", set=[{"path": "/token", "value": {}}])
    assert warned(ask(lmaps, "set", unit="db", id="a", texts=texts(*pairs), dry_run=True)) == paths
    documents = [DOCUMENT | {"id": "b", "token": {}}]
    assert warned(ask(lmaps, "create", unit="db", instances=documents, texts=texts(*pairs), dry_run=dry_run)) == paths
    assert warned(ask(lmaps, "set", unit="db", id="a", texts=texts(*pairs, private=True), dry_run=dry_run)) == []
    assert warned(ask(lmaps, "set", Door.API, unit="db", id="a", texts=texts(*pairs), dry_run=dry_run)) == []


def test_the_warning_says_what_to_do(lmaps: InProcess) -> None:
    reply = ask(lmaps, "set", unit="db", id="a", texts=texts("/tls/key=canary"))
    assert reply.extra["warnings"] == [
        {
            "message": "tls.key is a secret and stood in the command line, which every user of the host can read (ps): "
            "use --set tls.key=@FILE, or --set tls.key to be asked",
            "path": "$.tls.key",
            "at": ["tls", "key"],
        }
    ]


def test_one_warning_for_many_documents_and_none_for_what_was_not_set(lmaps: InProcess) -> None:
    documents = [{"id": "b", "password": "x"}, {"id": "c", "tls": {"key": "x"}}]
    reply = ask(lmaps, "create", unit="db", instances=documents, texts=texts("/token=x"))
    assert warned(reply) == ["$.token"]


@pytest.mark.parametrize(
    ("verb", "args", "error"),
    [
        ("set", {"id": "a", "texts": texts("/password=x", "/port=many")}, ValidationFailed),
        ("create", {"instances": [{"id": "a"}], "texts": texts("/password=x")}, AlreadyExists),
    ],
)
def test_a_refusal_warns_too(lmaps: InProcess, verb: str, args: Any, error: type[LmapsError]) -> None:
    with pytest.raises(error) as refused:
        ask(lmaps, verb, unit="db", **args)
    assert [warning["path"] for warning in refused.value.extra["warnings"]] == ["$.password"]


def test_a_repeated_request_is_warned_again(lmaps: InProcess) -> None:
    for _ in range(2):
        assert warned(ask(lmaps, "set", key="k", unit="db", id="a", texts=texts("/password=x"))) == ["$.password"]


def test_a_text_that_cannot_be_read_is_not_quoted_in_a_unit_with_secrets(lmaps: InProcess) -> None:
    with pytest.raises(UsageError) as refused:
        ask(lmaps, "set", unit="db", id="a", texts=texts("/token=[canary"))
    assert refused.value.message == "cannot read the text for token as YAML"
