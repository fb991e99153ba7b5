"""The public form of documents: what today's text of a unit marks is secret, and what their own text marks."""

import ast
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lmaps
from lmaps.api import documents
from lmaps.errors import Conflict, NotAllowed, RevertConflict, RuleBroken, ValidationFailed
from lmaps.model.policy import Line, Policy, Subject
from lmaps.store import open_store
from lmaps.store.encryption import KEY_BYTES, KeySealer
from tests.in_process import InProcess

CANARY = "canary-"
MASK = {"$secret": "set"}


def unit(properties: dict[str, Any]) -> str:
    params = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, **properties}}
    return json.dumps({"meta": {"name": "vault", "primary_key": "id"}, "params": params}) + "\n"


OPEN = unit({"a": True})
MARKED = unit({"a": {"writeOnly": True}})


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[InProcess]:
    vault = InProcess(tmp_path / "vault", MARKED)
    yield vault
    vault.store.close()


def answers(daemon: InProcess) -> Iterator[str]:
    """Yield every answer that shows documents, as JSON."""
    newest = daemon.call("show", unit="vault").revision or 0
    calls: list[tuple[str, dict[str, Any]]] = [
        ("show", {}),
        ("show", {"ids": ["a"]}),
        ("show", {"instances": True}),
        ("show", {"reverse": True}),
        *(("show", {"at": f"r{revision}"}) for revision in range(1, newest + 1)),
        ("blame", {}),
        ("history", {"diff": True}),
        *(("diff", {"from": f"r{older}", "to": f"r{newest}"}) for older in range(1, newest)),
        ("rollback", {"dry_run": True, "states": True}),
        ("rollback", {"to": "r1", "dry_run": True}),
        ("plan", {}),
    ]
    for verb, args in calls:
        yield json.dumps(daemon.call(verb, unit="vault", **args).extra)
    yield json.dumps(daemon.call("export", units=["vault"]).extra)
    yield json.dumps(daemon.call("export", units=["vault"], at="r1", limit=1).extra)


def revealed(daemon: InProcess) -> str:
    newest = daemon.call("show", unit="vault").revision or 0
    shown = (
        daemon.call("show", unit="vault", at=f"r{revision}", reveal=True).extra for revision in range(1, newest + 1)
    )
    return json.dumps(list(shown))


VALUES: list[Any] = [
    CANARY + "text",
    [CANARY + "item", [CANARY + "deep"]],
    {CANARY + "key": 1, "b": {"c": CANARY + "below"}},
    [{CANARY + "key": CANARY + "value"}, CANARY + "beside"],
    None,
]


@pytest.mark.parametrize(
    "texts",
    [[MARKED] * 5, [MARKED, *[OPEN] * 4, MARKED], [OPEN, OPEN, MARKED, OPEN, OPEN, MARKED]],
    ids=["always", "reopened", "today"],
)
def test_whatever_becomes_of_a_secret_no_answer_has_it(daemon: InProcess, texts: list[str]) -> None:
    for text, value in zip(texts, VALUES, strict=False):
        daemon.load(text)
        daemon.call("set", unit="vault", id="a", instance={"id": "a", "a": value})
    daemon.load(texts[-1])
    for answer in answers(daemon):
        assert CANARY not in answer
    assert all(form in revealed(daemon) for form in ("text", "item", "deep", "key", "below", "value", "beside"))


def test_what_was_marked_when_it_was_set_stays_hidden_until_it_is_set_again(daemon: InProcess) -> None:
    daemon.call("create", unit="vault", instances=[{"id": "a", "a": CANARY}, {"id": "b", "a": CANARY}])
    daemon.load(OPEN)
    assert [row["a"] for row in daemon.call("show", unit="vault").extra["state"]] == [MASK, MASK]
    assert not [answer for answer in answers(daemon) if CANARY in answer]
    daemon.call("set", unit="vault", id="a", instance={"id": "a", "a": "public"})
    assert [row["a"] for row in daemon.call("show", unit="vault").extra["state"]] == ["public", MASK]
    [row] = daemon.call("diff", unit="vault", **{"from": "r1"}).extra["diff"]
    assert row["differences"] == [{"path": "/a", "before": MASK, "after": {"$secret": "changed"}}]
    with pytest.raises(Conflict, match="it has secrets"):
        daemon.call("export", units=["vault"], history=True)
    (values,) = (
        [value for value in daemon.call("blame", unit="vault", ids=["a"]).extra["values"] if value["path"] == "/a"],
    )
    assert [(value["value"], value["before"]) for value in values] == [("public", MASK)]


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("set", {"id": "a", "set": [{"path": "/b", "value": 3}]}),
        ("set", {"id": "a", "instance": {"id": "a", "a": MASK, "b": 3}}),
        ("import", {"units": [{"unit": "vault", "instances": [{"id": "a", "a": MASK, "b": 3}]}]}),
        ("revert", {"revision": "r2"}),
    ],
)
def test_where_a_mark_was_taken_away_the_next_change_makes_a_value_public(
    daemon: InProcess, verb: str, args: dict[str, Any]
) -> None:
    def shown() -> object:
        [row] = daemon.call("show", unit="vault").extra["state"]
        return row["a"]

    for more in ({"b": 1}, {"b": 2}, {"b": 2, "c": 1}):
        daemon.call("set", unit="vault", id="a", instance={"id": "a", "a": CANARY, **more})
    daemon.load(OPEN)
    for undo, steps in (("rollback", {}), ("redo", {}), ("revert", {"revision": "r3"}), ("rollback", {})):
        daemon.call(undo, unit="vault", **steps)
        assert shown() == MASK, "what comes back as it was stored stays hidden"
    daemon.call(verb, **args if verb == "import" else {"unit": "vault", **args})
    assert shown() == CANARY
    daemon.call("rollback", unit="vault")
    assert shown() == MASK


def test_what_a_job_printed_before_its_value_was_marked_stays(daemon: InProcess) -> None:
    daemon.load(OPEN)
    daemon.call("create", unit="vault", instances=[{"id": "a", "a": CANARY}])
    job = daemon.call("apply", unit="vault").job
    assert job is not None
    with daemon.store.transaction() as tx:
        tx.jobs.add_lines(job, 1, [{"at": "2026-01-01T00:00:00.000000Z", "stream": "output", "text": CANARY}])
    daemon.load(MARKED)
    assert [row["a"] for row in daemon.call("show", unit="vault").extra["state"]] == [MASK]
    assert [line["text"] for line in daemon.call("lines", job=job).extra["lines"]] == [CANARY]


def test_of_the_secrets_of_before_the_newest_are_masked_in_jobs(
    daemon: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert documents.MAX_FORMER_DOCUMENTS == 5_000, "as the docs say"
    monkeypatch.setattr(documents, "MAX_FORMER_DOCUMENTS", 2)
    for number in range(5):
        daemon.call("set", unit="vault", id="a", instance={"id": "a", "a": f"{CANARY}{number}"})

    def former() -> set[object]:
        with daemon.store.transaction() as tx:
            return set(documents.former_secrets(tx, daemon.service.units.units["vault"]))

    assert former() == {f"{CANARY}{number}" for number in (2, 3)}
    daemon.applied("vault", 4)
    assert former() == {f"{CANARY}3"}
    daemon.call("delete", unit="vault", ids=["a"])
    assert former() == {f"{CANARY}{number}" for number in (3, 4)}


def test_blame_has_one_value_for_a_secret_whatever_it_consists_of(daemon: InProcess) -> None:
    daemon.load(
        unit({"a": {"writeOnly": True}, "items": {"prefixItems": [True, {"x-lmaps-secret": True}], "items": True}})
    )
    instance = {"id": "a", "a": {"x": {CANARY + "k": [1, {"y": 2}]}}, "items": ["first", CANARY, 3]}
    daemon.call("create", unit="vault", instances=[instance])
    rows = daemon.call("blame", unit="vault").extra["values"]
    assert [(row["path"], row["value"]) for row in rows] == [
        ("/id", "a"), ("/a", MASK), ("/items/0", "first"), ("/items/1", MASK), ("/items/2", 3),
    ]  # fmt: skip
    instance |= {"a": CANARY, "items": [CANARY]}
    daemon.call("set", unit="vault", id="a", instance=instance)
    instance |= {"items": ["first", "second"]}
    daemon.call("set", unit="vault", id="a", instance=instance)
    befores = {row["path"]: row.get("before") for row in daemon.call("blame", unit="vault").extra["values"]}
    assert befores == {"/id": None, "/a": MASK, "/items/0": CANARY, "/items/1": None}  # only the second item is secret


def test_a_revert_in_conflict_shows_no_secret(daemon: InProcess) -> None:
    for value in VALUES[:3]:
        daemon.call("set", unit="vault", id="a", instance={"id": "a", "a": value})
    for revision in ("r1", "r2"):
        with pytest.raises(RevertConflict) as caught:
            daemon.call("revert", unit="vault", revision=revision)
        told = f"{caught.value.message} {caught.value.errors} {caught.value.extra}"
        assert "/a" in told or "$.a" in told
        assert CANARY not in told


def test_the_time_to_compare_documents_grows_with_their_size_only(daemon: InProcess) -> None:
    daemon.load(unit({"a": {"type": "array", "items": {"type": "string", "writeOnly": True}}}))

    def seconds(count: int) -> float:
        name = str(count)
        for letter in "xy":
            values = [f"{letter}{number}" for number in range(count)]
            daemon.call("set", unit="vault", id=name, instance={"id": name, "a": values})
        took = []
        for _ in range(3):
            began = time.process_time()
            rows = daemon.call("history", unit="vault", limit=1, diff=True).extra["changesets"][0]["diff"]
            daemon.call("blame", unit="vault", ids=[name])
            took.append(time.process_time() - began)
            assert len(rows[0]["differences"]) == count
        return min(took)

    # Eight times as many take some ten times as long; if each was compared with each it would be 64 times.
    assert seconds(8000) < 16 * seconds(1000)


CLEAR = ("clear_given", "clear_completed")
READERS = {
    "acceptance.py": {"put_back"},
    "changes.py": {"_check_unique"},
    "conformance.py": {"_wrong"},
    "documents.py": {"completed", "differences", "former_secrets", "given", "hide", "version"},
    "unit_status.py": {"stored_instances"},
    "endpoints/blame.py": {"_rows"},
    "endpoints/history.py": {"_alike", "_taken_back"},
    "endpoints/history_transfer.py": {"_change"},
    "endpoints/instances.py": {"_document_to_set", "_expect_whole_secrets", "_new_and_stored", "set_"},
    "endpoints/show.py": {"_rows", "_state", "_texts"},
    "endpoints/transfer.py": {"_exported", "_migrated", "_update"},
}
"""The functions that read documents in clear: to check, compare and merge them, or to have their public form made."""


def test_documents_in_clear_are_read_only_where_it_has_a_reason() -> None:
    root = Path(lmaps.__file__).parent / "api"
    readers: dict[str, set[str]] = {}
    for file in root.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef):
                inside = (node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute))
                if not {*CLEAR}.isdisjoint(inside):
                    readers.setdefault(str(file.relative_to(root)), set()).add(function.name)
    assert readers == READERS


def test_a_refusal_quotes_nothing_that_only_an_older_text_marks(daemon: InProcess) -> None:
    """Today's text marks nothing and is broken by what is stored: it is refused with what an older text marks."""
    daemon.call("create", unit="vault", instances=[{"id": "a", "a": f"{CANARY}1"}])
    daemon.load(unit({"a": {"type": "string", "maxLength": 3}, "b": {}}))
    for change in (
        {"set": [{"path": "/b", "value": 1}]},
        {"instance": {"id": "a", "a": MASK, "b": 1}},
    ):
        with pytest.raises(ValidationFailed) as refused:
            daemon.call("set", unit="vault", id="a", **change)
        [finding] = refused.value.errors
        assert (finding.message, finding.got) == ("the value is too long, at most 3 characters allowed", None)
    with pytest.raises(ValidationFailed) as refused:
        daemon.call("import", units=[{"unit": "vault", "instances": [{"id": "a", "a": MASK}]}])
    assert CANARY not in json.dumps([finding.to_json() for finding in refused.value.errors])


def test_a_mask_that_only_an_older_text_shows_is_not_stored(daemon: InProcess) -> None:
    daemon.call("create", unit="vault", instances=[{"id": "a", "a": f"{CANARY}1"}])
    daemon.load(OPEN)
    shown = daemon.call("export", units=["vault"]).extra["units"][0]["instances"]
    assert shown == [{"id": "a", "a": MASK}]
    for document in ({"id": "b", "a": MASK}, {"id": "a", "c": MASK}):
        for verb, args in (
            ("create", {"unit": "vault", "instances": [document]}),
            ("set", {"unit": "vault", "id": document["id"], "instance": document}),
            ("import", {"units": [{"unit": "vault", "instances": [document]}]}),
        ):
            with pytest.raises(ValidationFailed) as refused:
                daemon.call(verb, **args)
            assert [finding.message for finding in refused.value.errors] == [
                "this is the mask of a secret: give the secret itself"
            ]


def test_unique_does_not_compare_what_only_an_older_text_marks(daemon: InProcess) -> None:
    daemon.call("create", unit="vault", instances=[{"id": "a", "a": f"{CANARY}1"}])
    text = json.loads(OPEN)
    text["meta"]["unique"] = ["/a"]
    daemon.load(json.dumps(text))
    guess = {"id": "b", "a": f"{CANARY}1"}
    with pytest.raises(RuleBroken) as broken:
        daemon.call("create", unit="vault", instances=[guess])
    assert CANARY not in str(broken.value) + json.dumps([finding.to_json() for finding in broken.value.errors])
    daemon.subject = Subject("uid:61001", "ann", frozenset({"uid:61001"}))
    daemon.service.policy = Policy([Line(daemon.subject.proofs, frozenset(["create", "show"]), ("*",))])
    with pytest.raises(NotAllowed, match="/a has to be unique and is secret"):
        daemon.call("create", unit="vault", instances=[guess])


def test_a_history_of_before_the_mark_is_sealed_where_it_is_imported(daemon: InProcess, tmp_path: Path) -> None:
    daemon.load(OPEN)
    daemon.call("create", unit="vault", instances=[{"id": "a", "a": f"{CANARY}1"}])
    history = daemon.call("export", history=True).extra["units"]
    other = InProcess(tmp_path / "other", MARKED)
    other.store.close()
    other.store = open_store(str(tmp_path / "other" / "lmaps.db"), KeySealer(b"k" * KEY_BYTES))
    with other:
        other.call("import_history", units=history)
        assert CANARY in revealed(other)
        assert not [file for file in (tmp_path / "other").iterdir() if CANARY.encode() in file.read_bytes()]
