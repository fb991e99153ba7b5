"""Whether what is stored fits its unit is found a part at a time: in the end it is what reading everything finds."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmaps.api import conformance
from lmaps.errors import LmapsError, UnitUnusable
from lmaps.model.states import ChangesetKind
from lmaps.store import Edit, Origin
from lmaps.util.timelimit import TimeLimit
from tests.in_process import InProcess

UNIT = """\
meta: {name: NAME, primary_key: k, data_type: YamlKeyList, keep: {count: 6}}
handler: {type: noop}
params: {type: object, required: [k], properties: {k: {type: string}, n: {type: integer, maximum: MOST}}}
"""
STEP = st.tuples(
    st.sampled_from(["put", "put", "rollback", "redo", "delete", "fail", "load", "ask"]),
    st.sampled_from("abc"),
    st.sampled_from([1, 9]),
)
BROKEN = [("put", "a", 9), ("put", "b", 1), ("put", "c", 1), ("load", "", 5), ("ask", "", 0)]
MENDED = [*BROKEN, *(("put", key, 2) for key in "abc"), ("ask", "", 0)]


class Taken(Exception):
    """A transaction is taken back."""


@pytest.fixture(scope="module")
def lmaps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with pytest.MonkeyPatch.context() as patch, InProcess(tmp_path_factory.mktemp("fitting")) as made:
        patch.setattr(conformance, "BATCH_SIZE", 2)
        yield made


def text(name: str, most: int) -> str:
    return UNIT.replace("NAME", name).replace("MOST", str(most))


def look(lmaps: InProcess, name: str) -> set[int]:
    """What is known, when as much was looked at as the manager does by itself."""
    unit = lmaps.service.units.units[name]
    while True:
        with lmaps.store.transaction() as tx:
            wrong = lmaps.service.conformance.wrong(tx, unit, TimeLimit())
        if name not in lmaps.service.conformance.unfinished:
            return wrong


def check(lmaps: InProcess, name: str) -> None:
    wrong, unit = look(lmaps, name), lmaps.service.units.units[name]
    with lmaps.store.transaction() as tx:
        there = {each.id for each in tx.instances.all(name) if unit.schema.findings(json.loads(each.clear_completed))}
    assert (wrong <= there, bool(wrong)) == (True, bool(there))


def do(lmaps: InProcess, name: str, what: str, key: str, number: int) -> None:
    match what:
        case "put":
            lmaps.call("set", unit=name, id=key, instance={"k": key, "n": number})
        case "delete":
            lmaps.call("delete", unit=name, ids=[key])
        case "load":
            lmaps.load(text(name, number))
        case "ask":
            lmaps.call("units")
        case "rollback" | "redo":
            lmaps.call(what, unit=name)


def delete_in_vain(lmaps: InProcess, name: str, key: str) -> None:
    """Delete an instance, look at what is left, and take it back."""
    with lmaps.store.transaction() as tx:
        gone = [Edit.of(each, None) for each in tx.instances.find(name, [key]).values()]
        tx.changesets.record(name, ChangesetKind.DELETE, Origin("me"), gone)
        lmaps.service.conformance.wrong(tx, lmaps.service.units.units[name], TimeLimit())
        raise Taken


@given(st.lists(STEP, max_size=25), st.uuids())
@example([*MENDED, ("rollback", "", 0)], "one comes back")
@example([*MENDED, *[("rollback", "", 0)] * 3], "more than a part come back")
@example(
    [("put", "a", 9), ("load", "", 5), ("ask", "", 0), ("fail", "a", 0), ("put", "b", 1)], "what was seen is undone"
)
@example([("put", "a", 9), ("load", "", 5), ("ask", "", 0), *[("put", "b", 1)] * 9], "what was seen is forgotten")
def test_what_is_known_in_the_end_is_what_is_there(lmaps: InProcess, steps: list[Any], made: Any) -> None:
    name = str(made).replace(" ", "-")
    lmaps.load(text(name, 9))
    for what, key, number in steps:
        with contextlib.suppress(LmapsError, Taken):
            if what == "fail":
                delete_in_vain(lmaps, name, key)
            do(lmaps, name, what, key, number)
    check(lmaps, name)


def test_a_large_unit_is_looked_at_in_parts(lmaps: InProcess) -> None:
    lmaps.load(text("large", 9))
    lmaps.call("create", unit="large", instances=[{"k": f"k{number}", "n": number} for number in range(10)])
    assert lmaps.call("units").extra["units"][0]["condition"] == "pending 1"
    assert "large" not in lmaps.service.conformance.unfinished
    lmaps.load(text("large", 8))
    assert lmaps.call("units").extra["units"][0]["condition"] == "pending 1"
    assert "large" in lmaps.service.conformance.unfinished
    assert len(look(lmaps, "large")) == 1
    assert lmaps.call("units").extra["units"][0]["condition"] == "invalid"
    with pytest.raises(UnitUnusable) as refused:
        lmaps.call("apply", unit="large")
    assert [finding.path for finding in refused.value.errors] == ["$.n"]
    lmaps.call("set", unit="large", id="k9", set=[{"path": "/n", "value": 1}])
    assert look(lmaps, "large") == set()
    assert lmaps.call("units").extra["units"][0]["condition"] == "pending 2"


def test_what_was_looked_at_is_not_read_again(lmaps: InProcess) -> None:
    lmaps.load(text("once", 9))
    lmaps.call("create", unit="once", instances=[{"k": f"k{number}"} for number in range(10)])
    lmaps.load(text("once", 8))
    assert look(lmaps, "once") == set()
    read: list[str] = []
    driver: Any = lmaps.store._connection.connection.driver_connection
    driver.set_trace_callback(read.append)
    lmaps.call("units")
    driver.set_trace_callback(None)
    assert [told for told in read if "document" in told] == []
