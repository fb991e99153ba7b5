import pytest

from lmaps.errors import Finding, MessageRefused, NotFound, TooLarge, ValidationFailed
from lmaps.protocol import Reply, Request, read_object, work
from lmaps.protocol.work import Ack, Done, Hello, Lines, Result, Run
from lmaps.util import jsonio
from lmaps.util.jsonio import Encoded


@pytest.mark.parametrize(
    "message",
    [
        Hello(1, 2, {"noop": {}}),
        Hello(1, 2, {}, token="t"),
        Run("t", "apply", [1], {"a": None}),
        Lines("t", 1, [{"at": "now", "stream": "output", "text": "x"}]),
        Ack("t", 7),
        Result("t", "succeeded", value=True, rc=0, summary={"ok": 1}),
        Done("t"),
    ],
)
def test_messages_between_manager_and_worker_survive_the_wire(message):
    assert work.decode(work.encode(message)) == message


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'{"kind":"run"}', b'{"kind":"ack","token":"t","upto":true}', b'{"kind":"done","token":"t","x":1}'],
)
def test_other_messages_are_refused(body):
    with pytest.raises(MessageRefused):
        work.decode(body)


def test_a_request_survives_the_wire():
    request = Request("create", {"unit": "web"}, "id", "key", 1000)
    assert Request.decode(read_object(request.encode())) == request


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"v": 2, "verb": "x"}, "version 2 is not supported"),
        ({"v": True, "verb": "x"}, "version True"),
        ({"v": 1, "verb": "x", "args": []}, "args is not of type"),
        ({"v": 1, "verb": "x", "more": 1}, "unknown field 'more'"),
        ({"v": 1}, "a field is missing"),
        ({"v": 1, "verb": "x", "deadline_ms": True}, "deadline_ms"),
    ],
)
def test_other_requests_are_refused(told, reason):
    with pytest.raises(MessageRefused, match=reason):
        Request.decode(told)


def test_a_refusal_becomes_the_same_error_again():
    error = ValidationFailed("cannot", errors=[Finding("wrong", ("a",), document=2)], hint="do", extra={"x": 1})
    told = Reply.refusal(error, "id").to_json()
    assert (told["level"], told["code"], told["id"]) == (3, "invalid", "id")
    again = Reply.from_json(told).error()
    assert type(again) is ValidationFailed
    assert (again.message, again.errors, again.hint, again.extra) == ("cannot", error.errors, "do", {"x": 1})


def test_the_envelope_is_the_originals_and_more():
    envelope = Reply("done", extra={"a": 1}, revision=3).to_json()
    assert list(envelope)[:3] == ["message", "level", "extra"]
    assert Reply.from_json(envelope | {"from_a_newer_one": 1}) == Reply("done", extra={"a": 1}, revision=3)
    assert isinstance(Reply.refusal(NotFound("cannot")).error(), NotFound)


def test_documents_that_are_json_already_stand_in_a_run_as_they_are():
    run = Run("t", "apply", kwargs={"unit": "web", "given": Encoded.array(['{"a":1}', "[]"]), "job": 1})
    assert work.decode(work.encode(run)).kwargs == {"unit": "web", "given": [{"a": 1}, []], "job": 1}


def test_a_state_is_handed_over_however_large_it_is():
    body = work.encode(Run("t", "apply", kwargs={"given": [0] * (jsonio.MAX_VALUES + 1)}))
    assert len(work.decode(body, nodes=len(body)).kwargs["given"]) == jsonio.MAX_VALUES + 1
    with pytest.raises(TooLarge):
        work.decode(body)
