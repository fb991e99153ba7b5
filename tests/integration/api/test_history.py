"""Looking back and undoing: how revisions are named, what history, diff and blame tell, what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import LmapsError, MessageRefused, NotFound, Outdated, RevertConflict, UsageError
from lmaps.model.policy import daemon_subject
from lmaps.util.times import now
from tests.daemons import WEB
from tests.in_process import InProcess

OTHER = "meta: {name: other}\n"
CONTENT = "meta: {name: plain}\nparams: {properties: {a: {type: integer}, b: {type: object}}}\n"


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path, f"{WEB}---\n{OTHER}---\n{CONTENT}") as made:
        yield made


def create(lmaps: InProcess, *hosts: str, **more: Any) -> None:
    lmaps.call("create", unit="web", instances=[{"host": host} for host in hosts], **more)


def set_(lmaps: InProcess, host: str, **values: Any) -> None:
    put = [{"path": f"/{name}", "value": value} for name, value in values.items()]
    lmaps.call("set", unit="web", id=host, set=put)


def hosts(lmaps: InProcess, at: str) -> str:
    return "".join(row["host"] for row in lmaps.call("show", unit="web", at=at).extra["state"]["vhosts"])


def test_every_form_of_a_revision(lmaps: InProcess) -> None:
    create(lmaps, "a")
    lmaps.call("create", unit="other", instances=[{}])
    create(lmaps, "b")
    between = now()
    create(lmaps, "c")
    lmaps.call("rollback", unit="web")
    lmaps.applied("web", 1)
    expected = {
        "r1": "a", "1": "a", "r0": "", "r2": "a", "r3": "ab", "r4": "abc", "@": "ab", "@~0": "ab", "@~1": "a", "@~2": "",
        "applied": "a", between: "ab", "-0s": "ab", "2020-01-01": "", "-9999d": "",
    }  # fmt: skip
    assert {form: hosts(lmaps, form) for form in expected} == expected


@pytest.mark.parametrize(
    ("form", "error", "words"),
    [
        ("r9", NotFound, "there is no r9, the newest is r1"),
        ("@~3", NotFound, "web has no @~3, its line has 1 changes"),
        ("applied", NotFound, "web was never applied"),
        ("yesterday", UsageError, "'yesterday' is no revision; expected r41, @, @~2, applied or a time"),
        ("", UsageError, "is no revision"),
        ("r-1", UsageError, "is no revision"),
    ],
)
def test_what_is_no_revision(lmaps: InProcess, form: str, error: type[LmapsError], words: str) -> None:
    create(lmaps, "a")
    with pytest.raises(error, match=words):
        hosts(lmaps, form)


def test_single_instances_of_an_older_state(lmaps: InProcess) -> None:
    create(lmaps, "a", "b")
    set_(lmaps, "a", port=81)
    [row] = lmaps.call("show", unit="web", ids=["a"], at="r1", instances=True).extra["instances"]
    assert (row["revision"], row["completed"]["port"]) == (1, 80)
    with pytest.raises(NotFound, match="there is no instance c in web"):
        lmaps.call("show", unit="web", ids=["c"], at="r1")


def test_a_condition_that_no_longer_holds_tells_what_has_changed_since(lmaps: InProcess) -> None:
    create(lmaps, "a", if_rev="r0")
    lmaps.subject = daemon_subject("bob")
    create(lmaps, "b", message="mine")
    with pytest.raises(Outdated) as refused:
        create(lmaps, "c", if_rev="1")
    assert refused.value.message == ("web is not at r1: it is at r2 (bob, mine); see: lmaps diff web r1 r2")
    assert [(row["sign"], row["id"]) for row in refused.value.extra["diff"]] == [("+", "b")]
    with pytest.raises(Outdated, match="other is not at r7: it has no changes yet"):
        lmaps.call("create", unit="other", instances=[{}], if_rev="r7")
    with pytest.raises(MessageRefused, match="if_rev"):
        create(lmaps, "c", if_rev="@")
    assert hosts(lmaps, "@") == "ab"


def test_history_is_told_newest_first_and_can_be_narrowed(lmaps: InProcess) -> None:
    create(lmaps, *(f"h{number}" for number in range(20)), message="many", ticket="T1")
    lmaps.subject = daemon_subject("bob")
    set_(lmaps, "h1", tls=True)
    lmaps.call("create", unit="other", instances=[{}])
    rows = lmaps.call("history").extra["changesets"]
    assert [(row["revision"], row["unit"], row["kind"]) for row in rows] == [
        (3, "other", "create"), (2, "web", "set"), (1, "web", "create"),
    ]  # fmt: skip
    assert (rows[2]["instances"], len(rows[2]["changes"]), rows[2]["message"]) == (20, 8, "many")

    def found(**asked: Any) -> list[int]:
        return [row["revision"] for row in lmaps.call("history", **asked).extra["changesets"]]

    assert found(unit="web") == [2, 1]
    assert found(limit=1) == [3]
    assert found(author="me") == [1]
    assert found(ticket="T1") == [1]
    assert found(since="-1h") == [3, 2, 1]
    assert found(since=rows[1]["at"]) == [3, 2]
    with pytest.raises(NotFound):
        found(unit="nothing")
    [told] = lmaps.call("history", unit="web", limit=1, diff=True).extra["changesets"]
    assert told["diff"][0]["differences"] == [{"path": "/tls", "before": False, "after": True}]


def test_diff_of_any_two_revisions_either_way_round(lmaps: InProcess) -> None:
    create(lmaps, "a", "b")
    set_(lmaps, "a", port=81)
    lmaps.call("delete", unit="web", ids=["b"])
    reply = lmaps.call("diff", unit="web", **{"from": "r1", "to": "@"})
    assert (reply.level, reply.extra["added"], reply.extra["changed"], reply.extra["deleted"]) == (1, 0, 1, 1)
    back = lmaps.call("diff", unit="web", **{"from": "@", "to": "r1"}).extra["diff"]
    assert [(row["sign"], row["id"]) for row in back] == [("~", "a"), ("+", "b")]
    assert back[0]["differences"] == [{"path": "/port", "before": 81, "after": 80}]
    assert lmaps.call("diff", unit="web", **{"from": "r3"}).level == 0
    assert lmaps.call("diff", unit="web").extra["from"] == 0
    lmaps.applied("web", 2)
    assert lmaps.call("diff", unit="web").extra["from"] == 2


def test_a_change_that_only_looks_the_same_is_one(lmaps: InProcess) -> None:
    lmaps.call("create", unit="other", instances=[{"a": 1}, {"a": True}, {"a": 1.0}])
    assert len(lmaps.call("show", unit="other").extra["state"]) == 3


def blamed(lmaps: InProcess, **asked: Any) -> dict[str, tuple[Any, ...]]:
    rows = lmaps.call("blame", unit="web", **asked).extra["values"]
    return {row["path"]: (row["value"], row["revision"], row["by"], row.get("before")) for row in rows}


def test_blame_names_the_change_that_gave_each_value(lmaps: InProcess) -> None:
    create(lmaps, "a", message="new", ticket="T1")
    set_(lmaps, "a", port=81)
    set_(lmaps, "a", tls=True)
    assert blamed(lmaps) == {"/host": ("a", 1, None, None), "/port": (81, 2, None, 80), "/tls": (True, 3, None, False)}
    lmaps.call("rollback", unit="web")
    assert blamed(lmaps)["/tls"] == (False, 1, "rollback r4", None)
    lmaps.call("redo", unit="web")
    assert blamed(lmaps)["/tls"] == (True, 3, "redo r5", False)
    set_(lmaps, "a", port=82)
    assert blamed(lmaps, path="/port") == {"/port": (82, 6, None, 81)}
    lmaps.call("rollback", unit="web", to="r1")
    assert blamed(lmaps)["/port"] == (80, 7, None, 82)
    lmaps.call("revert", unit="web", revision="r7")
    assert blamed(lmaps, ids=["a"])["/port"] == (82, 8, None, 80)
    [row] = lmaps.call("blame", unit="web", path="/host").extra["values"]
    assert (row["author"], row["message"], row["ticket"], row["default"]) == ("me", "new", "T1", False)
    assert lmaps.call("blame", unit="web", path="/nothing").extra["values"] == []


def test_a_default_is_the_unit_texts_work(lmaps: InProcess) -> None:
    create(lmaps, "a")
    rows = {row["path"]: row["default"] for row in lmaps.call("blame", unit="web").extra["values"]}
    assert rows == {"/host": False, "/port": True, "/tls": True}


def test_blame_of_an_instance_that_was_deleted_and_brought_back(lmaps: InProcess) -> None:
    create(lmaps, "a")
    set_(lmaps, "a", port=81)
    lmaps.call("delete", unit="web", ids=["a"])
    lmaps.call("rollback", unit="web")
    assert blamed(lmaps)["/port"] == (81, 2, "rollback r4", 80)


def test_a_conflict_names_both_values_and_changes_nothing(lmaps: InProcess) -> None:
    create(lmaps, "a")
    set_(lmaps, "a", port=81, tls=True)
    set_(lmaps, "a", port=82)
    with pytest.raises(RevertConflict) as refused:
        lmaps.call("revert", unit="web", revision="r2")
    [finding] = refused.value.errors
    assert (finding.path, finding.message) == ("$.port", "a: /port was made 81, and is 82 now")
    assert lmaps.call("status").extra["revision"] == 3
    lmaps.call("set", unit="web", id="a", unset=["/port"])
    assert lmaps.call("revert", unit="web", revision="r2").extra["changes"][0]["id"] == "a"
    assert lmaps.call("show", unit="web").extra["state"]["vhosts"] == [{"host": "a", "port": 80, "tls": False}]


def test_revert_keeps_what_came_later(lmaps: InProcess) -> None:
    create(lmaps, "a")
    set_(lmaps, "a", port=81)
    set_(lmaps, "a", tls=True)
    reply = lmaps.call("revert", unit="web", revision="r2")
    assert (reply.revision, reply.extra["target"]) == (4, 2)
    [row] = lmaps.call("show", unit="web").extra["state"]["vhosts"]
    assert row == {"host": "a", "port": 80, "tls": True}
    again = lmaps.call("revert", unit="web", revision="r2")
    assert (again.extra["nothing"], lmaps.call("status").extra["revision"]) == (True, 4)


def test_revert_below_an_object_without_a_primary_key(lmaps: InProcess) -> None:
    lmaps.call("create", unit="plain", instances=[{"a": 1, "b": {"x": 1, "y": 1}}])
    [row] = lmaps.call("show", unit="plain", instances=True).extra["instances"]
    made = lmaps.call("set", unit="plain", id=row["short"], set=[{"path": "/b/x", "value": 2}]).extra["instances"][0]
    assert made["id"] != row["id"]
    lmaps.call("set", unit="plain", id=made["id"], set=[{"path": "/b/z", "value": 3}])
    lmaps.call("revert", unit="plain", revision="r2")
    assert lmaps.call("show", unit="plain").extra["state"] == [{"a": 1, "b": {"x": 1, "y": 1, "z": 3}}]


def test_a_dry_run_leaves_nothing_behind(lmaps: InProcess) -> None:
    create(lmaps, "a", "b")
    with lmaps.store.transaction() as tx:
        before = list(tx.session.connection.connection.driver_connection.iterdump())
    for verb, args in (
        ("create", {"instances": [{"host": "c"}]}),
        ("set", {"id": "a", "set": [{"path": "/port", "value": 8}]}),
        ("delete", {"ids": ["a"]}),
        ("rollback", {}),
        ("rollback", {"to": "r0"}),
        ("revert", {"revision": "r1"}),
    ):
        reply = lmaps.call(verb, unit="web", dry_run=True, key="k", **args)
        assert (reply.level, bool(reply.extra["diff"])) == (1, True)
    assert lmaps.call("create", unit="web", dry_run=True, instances=[{"host": "a"}]).level == 0
    units = [{"unit": "web", "instances": [{"host": "z"}]}, {"unit": "plain", "instances": [{"a": 1}]}]
    reply = lmaps.call("import", units=units, mode="replace", max_deletes=2, dry_run=True)
    told = [(row["unit"], row["sign"]) for row in reply.extra["diff"]]
    assert told == [("web", "-"), ("web", "-"), ("web", "+"), ("plain", "+")]
    with pytest.raises(NotFound):
        lmaps.call("delete", unit="web", ids=["c"], dry_run=True)
    with lmaps.store.transaction() as tx:
        assert list(tx.session.connection.connection.driver_connection.iterdump()) == before
    create(lmaps, "c")
    assert lmaps.call("status").extra["revision"] == 2


def test_a_dry_run_of_an_apply_queues_nothing(lmaps: InProcess) -> None:
    reply = lmaps.call("apply", unit="web", instances=[{"host": "a"}], dry_run=True)
    assert [(row["sign"], row["id"]) for row in reply.extra["diff"]] == [("+", "a")]
    assert (reply.job, lmaps.call("jobs").extra["jobs"]) == (None, [])


def test_documents_come_back_to_the_byte_also_under_another_schema(lmaps: InProcess) -> None:
    create(lmaps, "a")
    set_(lmaps, "a", port=8080)
    before = json.dumps(lmaps.call("show", unit="web", instances=True, at="r1").extra["instances"][0]["completed"])
    lmaps.load(WEB.replace("default: 80", "default: 443").replace("minimum: 1,", "minimum: 100,"))
    lmaps.call("rollback", unit="web")
    [row] = lmaps.call("show", unit="web", instances=True).extra["instances"]
    assert json.dumps(row["completed"]) == before
    assert lmaps.call("units").extra["units"][0]["condition"] == "invalid"
    lmaps.call("redo", unit="web")
    assert lmaps.call("units").extra["units"][0]["condition"] == "pending 4"


def test_data_of_an_undo_has_the_states_only_when_asked(lmaps: InProcess) -> None:
    create(lmaps, "a")
    create(lmaps, "b")
    told = lmaps.call("rollback", unit="web").extra
    assert ("before" in told, told["removing"]) == (False, [{"host": "b"}])
    told = lmaps.call("redo", unit="web", states=True).extra
    assert [len(told[name]["vhosts"]) for name in ("before", "after")] == [1, 2]


def test_steps_and_a_revision_exclude_each_other(lmaps: InProcess) -> None:
    with pytest.raises(MessageRefused, match="not both"):
        lmaps.call("rollback", unit="web", to="r0", steps=1)


def test_steps_are_a_number_that_can_be_counted(lmaps: InProcess) -> None:
    lmaps.call("create", unit="web", instances=[{"host": "a"}])
    for verb in ("rollback", "redo"):
        with pytest.raises(MessageRefused, match=r"steps"):
            lmaps.call(verb, unit="web", steps=1e308)
        assert lmaps.call(verb, unit="web", steps=1.0).revision
    assert len(lmaps.call("show", unit="web").extra["state"]["vhosts"]) == 1
