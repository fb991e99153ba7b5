"""Rules over a whole unit: require, unique, max_instances, keep."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaps.errors import MessageRefused, NotFound, RuleBroken
from tests.in_process import InProcess

PARAMS = """
params:
  type: object
  required: [k]
  properties:
    k: {type: string}
    port: {}
    net: {type: object, properties: {mac: {type: string}}}
"""


def unit(**meta: str) -> str:
    told = "".join(f", {name}: {value}" for name, value in meta.items())
    return f"meta: {{name: t, primary_key: k{told}}}{PARAMS}"


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path, unit()) as made:
        yield made


def create(lmaps: InProcess, *documents: dict[str, Any], **more: Any) -> None:
    lmaps.call("create", unit="t", instances=list(documents), **more)


def keys(lmaps: InProcess) -> str:
    return "".join(row["k"] for row in lmaps.call("show", unit="t").extra["state"]["root"])


def test_what_a_unit_requires_is_said_with_every_change(lmaps: InProcess) -> None:
    lmaps.load(unit(require="[message, ticket]", data_type="YamlKeyList"))
    with pytest.raises(MessageRefused) as refused:
        create(lmaps, {"k": "a"}, ticket="T1", message=" ")
    assert (refused.value.message, refused.value.hint) == (
        "changes of t need a message",
        "add -m TEXT",
    )
    create(lmaps, {"k": "a"}, message="why", ticket="T1")
    for verb, args in (
        ("set", {"id": "a", "set": [{"path": "/port", "value": 1}]}),
        ("delete", {"ids": ["a"]}),
        ("rollback", {}),
        ("rollback", {"to": "r0"}),
        ("revert", {"revision": "r1"}),
    ):
        with pytest.raises(MessageRefused, match="changes of t need a message and a ticket"):
            lmaps.call(verb, unit="t", **args)
    units = [{"unit": "t", "instances": [{"k": "b"}]}]
    with pytest.raises(MessageRefused, match="changes of t need"):
        lmaps.call("import", units=units)
    create(lmaps, {"k": "a"})  # changes nothing, so there is nothing to be explained
    assert lmaps.call("status").extra["revision"] == 1


@pytest.mark.parametrize(
    ("path", "there", "coming", "refused"),
    [
        ("/port", {"k": "a", "port": 1}, {"k": "b", "port": 1}, True),
        ("/port", {"k": "a", "port": 1}, {"k": "b", "port": 2}, False),
        ("/port", {"k": "a", "port": 1}, {"k": "b", "port": True}, False),
        ("/port", {"k": "a", "port": 1}, {"k": "b", "port": 1.0}, False),
        ("/port", {"k": "a", "port": 1}, {"k": "b", "port": "1"}, False),
        ("/port", {"k": "a", "port": "x'\"\\%_"}, {"k": "b", "port": "x'\"\\%_"}, True),
        ("/port", {"k": "a", "port": None}, {"k": "b", "port": None}, False),
        ("/port", {"k": "a"}, {"k": "b"}, False),
        ("/port", {"k": "a", "port": [1]}, {"k": "b", "port": [1]}, True),
        ("/port", {"k": "a", "port": 10**30}, {"k": "b", "port": 10**30}, True),
        ("/port", {"k": "a", "port": 10**30}, {"k": "b", "port": 10**30 + 1}, False),
        ("/port", {"k": "a", "port": 1e300}, {"k": "b", "port": 1e300}, True),
        ("/net/mac", {"k": "a", "net": {"mac": "m"}}, {"k": "b", "net": {"mac": "m"}}, True),
        ("/net/mac", {"k": "a", "net": {"mac": "m"}}, {"k": "b", "net": {}}, False),
        ("/net", {"k": "a", "net": {"mac": "m"}}, {"k": "b", "net": {"mac": "m"}}, True),
    ],
)
def test_no_two_instances_have_the_same(
    lmaps: InProcess, path: str, there: dict[str, Any], coming: dict[str, Any], refused: bool
) -> None:
    lmaps.load(unit(unique=f"[{path}]", data_type="YamlKeyList"))
    create(lmaps, there)
    if refused:
        with pytest.raises(
            RuleBroken, match=f"{path} of t has to be unique, and b has .* as a has; nothing was changed"
        ):
            create(lmaps, coming)
        with pytest.raises(RuleBroken):
            create(lmaps, {"k": "c"}, coming)
    else:
        create(lmaps, coming)
    assert keys(lmaps) == ("a" if refused else "ab")


def test_a_value_may_move_from_one_instance_to_another(lmaps: InProcess) -> None:
    lmaps.load(unit(unique="[/port]", data_type="YamlKeyList"))
    create(lmaps, {"k": "a", "port": 1}, {"k": "b", "port": 2})
    swapped = [{"k": "a", "port": 2}, {"k": "b", "port": 1}]
    lmaps.call("import", units=[{"unit": "t", "instances": swapped}])
    with pytest.raises(RuleBroken, match="unique, and c has 2 as d has"):
        create(lmaps, {"k": "c", "port": 2}, {"k": "d", "port": 2})
    with pytest.raises(RuleBroken):
        lmaps.call("set", unit="t", id="a", set=[{"path": "/port", "value": 1}])
    lmaps.call("set", unit="t", id="a", unset=["/port"])
    create(lmaps, {"k": "c", "port": 2})


def test_an_undo_is_not_held_up_by_a_rule_that_came_later(lmaps: InProcess) -> None:
    lmaps.load(unit(data_type="YamlKeyList"))
    create(lmaps, {"k": "a", "port": 1}, {"k": "b", "port": 1})
    lmaps.call("delete", unit="t", ids=["b"])
    lmaps.load(unit(unique="[/port]", max_instances="1", data_type="YamlKeyList"))
    with pytest.raises(RuleBroken):
        lmaps.call("revert", unit="t", revision="r2")
    lmaps.call("rollback", unit="t")
    assert keys(lmaps) == "ab"


def test_how_many_instances_there_may_be(lmaps: InProcess) -> None:
    lmaps.load(unit(max_instances="2", data_type="YamlKeyList"))
    with pytest.raises(RuleBroken, match="t would have 3 instances, its limit is 2; nothing was changed"):
        create(lmaps, {"k": "a"}, {"k": "b"}, {"k": "c"})
    create(lmaps, {"k": "a"}, {"k": "b"})
    with pytest.raises(RuleBroken):
        create(lmaps, {"k": "c"})
    lmaps.call("set", unit="t", id="a", set=[{"path": "/port", "value": 1}])
    lmaps.call("import", units=[{"unit": "t", "instances": [{"k": "c"}, {"k": "b"}]}], mode="replace", max_deletes=1)
    assert keys(lmaps) == "cb"


def revisions(lmaps: InProcess) -> list[int]:
    return [row["revision"] for row in lmaps.call("history", unit="t", limit=100).extra["changesets"]][::-1]


def test_old_changesets_are_dropped_by_count(lmaps: InProcess) -> None:
    lmaps.load(unit(keep="{count: 3}", data_type="YamlKeyList"))
    for key in "abcdef":
        create(lmaps, {"k": key})
        lmaps.applied("t", lmaps.call("status").extra["revision"])
    create(lmaps, {"k": "g"})
    assert revisions(lmaps) == [5, 6, 7]
    assert keys(lmaps) == "abcdefg"
    for at, words in (("r3", "r3 of t is no longer stored: its history begins at r4"), ("@~4", "t has no @~4")):
        with pytest.raises(NotFound, match=words):
            lmaps.call("show", unit="t", at=at)
    assert len(lmaps.call("show", unit="t", at="r4").extra["state"]["root"]) == 4
    for _ in range(3):
        lmaps.call("rollback", unit="t")
    assert (keys(lmaps), revisions(lmaps)[0]) == ("abcd", 5)
    assert lmaps.call("rollback", unit="t").extra["nothing"]
    assert lmaps.call("redo", unit="t", steps=3).extra["target"] == 7
    assert (keys(lmaps), lmaps.replayed()) == ("abcdefg", len(revisions(lmaps)))
    [row] = lmaps.call("blame", unit="t", ids=["a"]).extra["values"]
    assert (row["path"], row["revision"], row["author"]) == ("/k", None, None)


def test_what_an_undo_or_the_applied_revision_needs_is_not_dropped(lmaps: InProcess) -> None:
    lmaps.load(unit(keep="{count: 1}", data_type="YamlKeyList"))
    create(lmaps, {"k": "a"})
    lmaps.applied("t", 1)
    for key in "bcd":
        create(lmaps, {"k": key})
    assert revisions(lmaps) == [1, 2, 3, 4]
    lmaps.applied("t", 4)
    lmaps.call("rollback", unit="t", steps=2)
    assert revisions(lmaps) == [2, 3, 4, 5] or revisions(lmaps) == [1, 2, 3, 4, 5]
    lmaps.call("redo", unit="t", steps=2)
    assert (keys(lmaps), lmaps.replayed()) == ("abcd", len(revisions(lmaps)))


@settings(max_examples=25)
@given(st.integers(1, 4), st.lists(st.sampled_from("cccsd<<<>>"), max_size=30))
def test_what_is_kept_can_be_undone_as_if_all_were_kept(count: int, steps: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        InProcess(Path(directory) / "a", unit(data_type="YamlKeyList")) as whole,
        InProcess(Path(directory) / "b", unit(data_type="YamlKeyList", keep=f"{{count: {count}}}")) as kept,
    ):
        for number, step in enumerate(steps):
            there = [row["k"] for row in whole.call("show", unit="t").extra["state"]["root"]] or ["none"]
            verb, args = {
                "c": ("create", {"instances": [{"k": f"k{number}"}]}),
                "s": ("set", {"id": there[number % len(there)], "set": [{"path": "/port", "value": number}]}),
                "d": ("delete", {"ids": ["none"]}) if there == ["none"] else ("delete", {"ids": there[:1]}),
                "<": ("rollback", {}),
                ">": ("redo", {}),
            }[step]
            answers = [_asked(each, verb, args) for each in (whole, kept)]
            kept.applied("t", kept.call("status").extra["revision"])
            if answers[0] != answers[1]:
                assert verb == "rollback"
                break
            assert kept.call("show", unit="t").extra["state"] == whole.call("show", unit="t").extra["state"]
            kept.replayed()
            if step in "csd" and "<" not in steps[:number]:
                assert _undoable(kept) >= min(count, _undoable(whole))


def _undoable(lmaps: InProcess) -> int:
    with lmaps.store.transaction() as tx:
        head = tx.history.head("t")
        return len(tx.history.line(head.line_end if head else None))


def _asked(lmaps: InProcess, verb: str, args: dict[str, Any]) -> str:
    try:
        return "nothing" if lmaps.call(verb, unit="t", **args).extra.get("nothing") else "done"
    except NotFound:
        return "refused"


def test_old_changesets_are_dropped_by_age(lmaps: InProcess) -> None:
    lmaps.load(unit(data_type="YamlKeyList"))
    for key in "abc":
        create(lmaps, {"k": key})
    with lmaps.store.transaction() as tx:
        old = "UPDATE changeset SET at = '2020-01-01T00:00:00.000000Z' WHERE revision < 3"
        tx.session.connection.exec_driver_sql(old)
    lmaps.load(unit(keep="{age: 30d}", data_type="YamlKeyList"))
    lmaps.applied("t", 3)
    create(lmaps, {"k": "d"})
    assert (revisions(lmaps), keys(lmaps), lmaps.replayed()) == ([3, 4], "abcd", 2)


def test_numbers_are_not_given_again_after_their_changesets_were_dropped(lmaps: InProcess, tmp_path: Path) -> None:
    lmaps.load(unit(keep="{count: 1}", data_type="YamlKeyList"))
    for key in "abc":
        create(lmaps, {"k": key})
        lmaps.applied("t", lmaps.call("status").extra["revision"])
    lmaps.call("delete", unit="t", ids=["c"])
    lmaps.store.close()
    with InProcess(tmp_path, unit(keep="{count: 1}", data_type="YamlKeyList")) as again:
        create(again, {"k": "d"})
        assert (again.call("status").extra["revision"], keys(again), again.replayed()) == (5, "abd", 3)
