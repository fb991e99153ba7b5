"""State out and in: export, import, histories, and what the original had."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import Conflict, MessageRefused, NotFound, TooManyDeletions, UnitUnusable, ValidationFailed
from tests.daemons import WEB
from tests.in_process import InProcess

PLAIN = "meta: {name: plain, data_type: YamlList}\nparams: {properties: {a: {type: integer}, b: {default: 1}}}\n"
UNITS = f"{WEB}---\n{PLAIN}"


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path / "one", UNITS) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path / "other", UNITS) as made:
        yield made


def web(*hosts: str) -> dict[str, Any]:
    return {"unit": "web", "instances": [{"host": host} for host in hosts]}


def told(lmaps: InProcess) -> list[str]:
    return [row["host"] for row in lmaps.call("show", unit="web").extra["state"]["vhosts"]]


def test_one_changeset_a_unit_and_all_in_one_transaction(lmaps: InProcess) -> None:
    reply = lmaps.call("import", units=[web("a", "b"), {"unit": "plain", "instances": [{"a": 1}, {"a": 1}]}])
    assert reply.message == "imported: 3 created, 0 updated, 0 deleted"
    assert [(row["unit"], row["result"], row["revision"]) for row in reply.extra["instances"]] == [
        ("web", "created", 1), ("web", "created", 1), ("plain", "created", 2),
    ]  # fmt: skip
    assert [row["kind"] for row in lmaps.call("history").extra["changesets"]] == ["import", "import"]
    again = lmaps.call("import", units=[web("a")])
    assert (again.extra["instances"][0]["result"], again.revision) == ("unchanged", 2)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_changed(lmaps: InProcess) -> None:
    units = [
        {"unit": "web", "instances": [{"host": "a"}, {"host": 1}, {"host": "b", "prt": 1}, {"host": "a", "port": 8}]},
        {"unit": "nothing", "instances": [{}]},
        {"unit": "plain", "instances": [{"a": 1}, {"a": "x"}]},
    ]
    with pytest.raises(ValidationFailed) as refused:
        lmaps.call("import", units=units)
    assert refused.value.message == "cannot import: 4 errors, nothing was changed"
    assert [(each.document, each.path) for each in refused.value.errors] == [
        (1, "$.host"), (2, "$.prt"), (4, "$"), (6, "$.a"),
    ]  # fmt: skip
    with pytest.raises(ValidationFailed) as refused:
        lmaps.call("import", units=[{"unit": "web", "instances": [{"host": "a"}, {"host": "a", "port": 8}]}])
    assert refused.value.errors[0].message == "a is given twice, with different content"
    with pytest.raises(NotFound, match="there is no unit 'wep'; did you mean web?"):
        lmaps.call("import", units=[{"unit": "wep", "instances": []}])
    assert lmaps.call("status").extra["revision"] == 0


def test_replace_deletes_only_as_many_as_were_allowed(lmaps: InProcess) -> None:
    lmaps.call("import", units=[web("a", "b", "c")])
    with pytest.raises(TooManyDeletions) as refused:
        lmaps.call("import", units=[web("b")], mode="replace", max_deletes=1)
    assert refused.value.message == ("cannot import: it would delete 2 instances (web a, web c), nothing was changed")
    assert refused.value.hint == "to allow that: --max-deletes 2"
    reply = lmaps.call("import", units=[web("d", "b")], mode="replace", max_deletes=2)
    assert {row["id"]: row["result"] for row in reply.extra["instances"]} == {
        "d": "created", "b": "updated", "a": "deleted", "c": "deleted",
    }  # fmt: skip
    assert told(lmaps) == ["d", "b"]


def test_a_unit_whose_file_is_gone_takes_nothing_in(lmaps: InProcess) -> None:
    lmaps.call("import", units=[web("a")])
    lmaps.load(PLAIN)
    with pytest.raises(UnitUnusable, match="web takes no changes: its unit file is gone"):
        lmaps.call("import", units=[web("b")])
    lmaps.call("delete", unit="web", ids=["a"])


def test_export_of_an_older_state(lmaps: InProcess) -> None:
    for host in "abc":
        lmaps.call("import", units=[web(host)])
    lmaps.call("rollback", unit="web")
    reply = lmaps.call("export", units=["web"], at="r1")
    assert (reply.message, reply.extra["units"][0]["instances"]) == (
        "exported 1 unit, 1 instance at r1",
        [{"host": "a"}],
    )
    [now] = lmaps.call("export", units=["web"]).extra["units"]
    assert (now["instances"], now["undone"]) == ([{"host": "a"}, {"host": "b"}], [{"host": "c"}])
    with pytest.raises(NotFound):
        lmaps.call("export", units=["nothing"])


def exported(lmaps: InProcess) -> list[dict[str, Any]]:
    names = ("unit", "definitions", "history")
    return [{name: unit[name] for name in names} for unit in lmaps.call("export", history=True).extra["units"]]


def test_a_history_moves_whole_into_an_empty_state(lmaps: InProcess, other: InProcess) -> None:
    lmaps.call("create", unit="web", instances=[{"host": "a"}], message="first", ticket="T1", on_behalf_of="bob")
    lmaps.call("create", unit="plain", instances=[{"a": 1}], key="k1")
    lmaps.call("set", unit="web", id="a", set=[{"path": "/port", "value": 81}])
    lmaps.call("rollback", unit="web")
    units = exported(lmaps)
    assert other.call("import_history", units=units, dry_run=True).level == 1
    reply = other.call("import_history", units=units)
    assert reply.message == "imported 4 changesets of 2 units, at r4"
    assert other.call("export", history=True).extra == lmaps.call("export", history=True).extra
    assert other.replayed() == 4
    assert other.call("redo", unit="web").revision == 5
    with pytest.raises(Conflict, match=r"the state has one already \(r5\)"):
        other.call("import_history", units=units)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda units: units[0]["history"].pop(0), "r2 does not fit the line of web"),
        (lambda units: units[0]["history"][1]["changes"][0]["before"].update(key="x"), "from something else than it was"),
        (lambda units: units[0]["history"].append(units[0]["history"][0]), "a revision occurs twice"),
        (lambda units: units[0]["definitions"].update({"9": {"meta": {"name": "plain"}}}), "a definition of web defines the unit plain"),
        (lambda units: units[0]["definitions"].update({"9": {"meta": 1}}), "cannot import the history of web"),
        (lambda units: units[0]["history"][0].update(kind="magic"), "kind"),
        (lambda units: units[0]["history"][0].update(unheard_of="x"), r"r1 has the property unheard_of, which lMaPS \d\S+ does not know"),
        (lambda units: units[0]["history"][0].pop("ticket"), "ticket"),
        (lambda units: units[0]["history"][0].update(revision=1e308), "is more than"),
        (lambda units: units[0]["history"][0].update(revision=10**18), "is more than"),
        (lambda units: units[0]["history"][0]["changes"][0].update(instance=10**18), "is more than"),
        (lambda units: units[0]["history"][0].update(revision=1.0), "it is inconsistent"),
        (lambda units: units[0]["history"][1]["changes"][0].update(instance=2.0**63), "is more than"),
        (lambda units: units[0]["definitions"].update(x={"meta": {"name": "web"}}), "a definition of web has no number"),
    ],
)  # fmt: skip
def test_a_history_that_contradicts_itself_is_refused(
    lmaps: InProcess, other: InProcess, spoil: Any, words: str
) -> None:
    lmaps.call("create", unit="web", instances=[{"host": "a"}])
    lmaps.call("set", unit="web", id="a", set=[{"path": "/port", "value": 81}])
    units = exported(lmaps)
    spoil(units)
    with pytest.raises(Exception, match=words) as refused:
        other.call("import_history", units=units)
    assert refused.type.__module__ == "lmaps.errors"
    assert (other.call("status").extra["revision"], other.call("show", unit="web").extra["state"]) == (
        0,
        {"vhosts": []},
    )


def test_a_history_whose_beginning_is_gone_is_not_exported(lmaps: InProcess) -> None:
    lmaps.load(WEB.replace("strict: true", "strict: true, keep: {count: 1}"))
    for host in "abc":
        lmaps.call("create", unit="web", instances=[{"host": host}])
        lmaps.applied("web", lmaps.call("status").extra["revision"])
    with pytest.raises(Conflict, match="cannot export the history of web: its changesets up to r1 were deleted"):
        lmaps.call("export", history=True)


def test_what_the_original_had_comes_with_its_undone_and_without_its_defaults(lmaps: InProcess) -> None:
    current = [{"host": "a", "port": 80}, {"host": "b", "port": 81, "tls": False}]
    reply = lmaps.call("migrate", unit="web", current=current, undone=[{"host": "c", "tls": True}, {"host": "d"}])
    assert reply.message == "migrated 2 instances to web, 2 for redo"
    assert lmaps.call("export", units=["web"]).extra["units"][0]["instances"] == [
        {"host": "a"}, {"host": "b", "port": 81},
    ]  # fmt: skip
    assert [row["kind"] for row in lmaps.call("history", unit="web").extra["changesets"]][::-1] == [
        *["import"] * 4, "rollback", "rollback",
    ]  # fmt: skip
    lmaps.call("redo", unit="web")
    assert told(lmaps) == ["a", "b", "c"]
    lmaps.call("redo", unit="web")
    assert (told(lmaps), lmaps.replayed()) == (["a", "b", "c", "d"], 8)
    with pytest.raises(ValidationFailed, match="it has a history already"):
        lmaps.call("migrate", unit="web", current=[{"host": "z"}])


def test_a_document_of_the_original_that_does_not_fit(lmaps: InProcess) -> None:
    with pytest.raises(ValidationFailed) as refused:
        lmaps.call("migrate", unit="web", current=[{"host": "a"}], undone=[{"host": "b"}, {"port": 1}])
    assert [finding.document for finding in refused.value.errors] == [2]
    assert lmaps.call("status").extra["revision"] == 0


def test_documents_of_the_original_that_are_one_instance_today(lmaps: InProcess) -> None:
    """It appended a document under the same name; the later one is what counts."""
    lmaps.call("migrate", unit="web", current=[{"host": "a"}, {"host": "a", "port": 81}, {"host": "a", "port": 81}])
    assert lmaps.call("show", unit="web").extra["state"]["vhosts"] == [{"host": "a", "port": 81, "tls": False}]
    lmaps.call("rollback", unit="web")
    assert told(lmaps) == ["a"]


@pytest.mark.parametrize("limit", [1, 3, 10_000])
def test_pages_are_the_state_of_one_moment_whatever_changes_meanwhile(lmaps: InProcess, limit: int) -> None:
    rng = random.Random(limit)
    lmaps.call("import", units=[web(*"abcdefghijkl"), {"unit": "plain", "instances": [{"a": 1}, {"a": 2}]}])
    for host in "bdf":
        lmaps.call("set", unit="web", id=host, set=[{"path": "/port", "value": 81}])
    expected = {row["unit"]: row["instances"] for row in lmaps.call("export").extra["units"]}
    found: dict[str, list[Any]] = {}
    asked: dict[str, Any] | None = {}
    while asked is not None:
        extra = lmaps.call("export", limit=limit, **asked).extra
        for row in extra["units"]:
            found.setdefault(row["unit"], []).extend(row["instances"])
        asked = extra["next"]
        change_something(lmaps, rng)
    assert found == expected


def change_something(lmaps: InProcess, rng: random.Random) -> None:
    """In any way, anything."""
    there = told(lmaps)
    host = rng.choice(there)
    match rng.randrange(4):
        case 0:
            lmaps.call("create", **web(f"new{rng.random()}"))
        case 1:
            lmaps.call("delete", unit="web", ids=rng.sample(there, 2))
        case 2:
            lmaps.call("set", unit="web", id=host, set=[{"path": "/port", "value": rng.randrange(100, 200)}])
        case _:
            lmaps.call("rollback", unit="web")


def test_pages_go_on_where_the_first_has_ended(lmaps: InProcess) -> None:
    lmaps.call("create", **web(*"abc"))
    lmaps.call("rollback", unit="web")
    first = lmaps.call("export", units=["web", "plain"], limit=2, at="r1").extra
    assert first["next"] == {"units": ["web", "plain"], "revisions": [1, 1], "after": 2}
    rest = lmaps.call("export", limit=2, **first["next"]).extra
    assert [row["instances"] for row in rest["units"]] == [[{"host": "c"}], []]
    assert rest["next"] is None
    with pytest.raises(MessageRefused, match="as many revisions as units"):
        lmaps.call("export", units=["web", "plain"], revisions=[1])
