"""Values of instances that are known in memory: at every moment those that reading the unit finds."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.errors import StateDamaged
from lmaps.model.diff import look_up, same
from lmaps.model.states import ChangesetKind
from lmaps.store import Document, Edit, Origin, Store, Transaction, instances, open_store, unique_index
from tests.databases import rewrite

WHY = Origin("me")
VALUES = [1, 1.0, True, "1", "a\0b", "a", 0.1, 10**18, [1], [1.0], {"b": 1, "a": 2}, {"a": 2, "b": 1}, None]
PATHS = [("v",), ("w", "v"), ("l", 0)]
STEP = st.tuples(
    st.sampled_from(["put", "put", "put", "remove", "rollback", "redo", "retain"]),
    st.sampled_from("abcd"),
    st.sampled_from(VALUES),
    st.sampled_from(["keep", "keep", "discard", "fail"]),
    st.sampled_from(["", "", "all", "part"]),
)


class Taken(Exception):
    """A transaction is taken back."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, open_store(str(tmp_path_factory.mktemp("values") / "l.db")) as opened:
        patch.setattr(unique_index, "PART_SIZE", 2)
        patch.setattr(instances, "SCAN_FRACTION", 2**62)
        yield opened


def scanned(tx: Transaction, unit: str, path: Any, value: Any) -> list[str]:
    """The instances of a unit that have a value, found by reading the unit."""
    return [each.key for each in tx.instances.all(unit) if same(look_up(json.loads(each.clear_completed), path), value)]


def found(tx: Transaction, unit: str, path: Any, value: Any) -> list[str]:
    """The same, found by what is known; of those that are found few may be others."""
    having = tx.unique_index.find(unit, path, [value])
    return [each.key for each in having if same(look_up(json.loads(each.clear_completed), path), value)]


def check(tx: Transaction, unit: str) -> None:
    for path in PATHS:
        for value in VALUES[:-1]:
            assert found(tx, unit, path, value) == scanned(tx, unit, path, value)


def do(tx: Transaction, unit: str, what: str, key: str, value: Any) -> None:
    text = json.dumps({"v": value, "w": {"v": value}, "l": [value]})
    document = Document(key, text, text, tx.instances.definition(unit, "digest", "{}"))
    there = tx.instances.find(unit, [key]).get(key)
    if what == "put":
        tx.changesets.record(
            unit, ChangesetKind.SET, WHY, [Edit.of(there, document) if there else Edit(None, document)]
        )
    elif what == "remove" and there:
        tx.changesets.record(unit, ChangesetKind.DELETE, WHY, [Edit.of(there, None)])
    elif what == "rollback":
        tx.changesets.rollback(unit, WHY)
    elif what == "redo":
        tx.changesets.redo(unit, WHY)
    elif what == "retain":
        tx.changesets.retain(unit, 1, None)


@given(st.lists(STEP, max_size=25), st.uuids())
def test_what_is_known_is_what_is_there(store: Store, steps: list[Any], name: Any) -> None:
    unit = str(name)
    for what, key, value, end, looked_at in steps:
        with contextlib.suppress(Taken), store.transaction() as tx:
            with tx.discarded() if end == "discard" else contextlib.nullcontext():
                do(tx, unit, what, key, value)
                if looked_at == "all":
                    check(tx, unit)
                elif looked_at == "part":
                    tx.unique_index.extend(unit, PATHS[0])
            if end == "fail":
                raise Taken
    with store.transaction() as tx:
        check(tx, unit)


def test_what_is_known_is_read_once(store: Store) -> None:
    with store.transaction() as tx:
        do(tx, "once", "put", "a", 1)
        check(tx, "once")
    read: list[str] = []
    driver: Any = store._connection.connection.driver_connection
    driver.set_trace_callback(read.append)
    with store.transaction() as tx:
        do(tx, "once", "put", "b", 2)
        assert found(tx, "once", ("v",), 1) == ["a"]
        assert found(tx, "once", ("v",), 3) == []
    driver.set_trace_callback(None)
    assert [text for text in read if "ORDER BY instance.id" in text] == []


def test_a_value_that_is_damaged_is_told(tmp_path: Path) -> None:
    """Else it would be missed, and let a second one in."""
    with open_store(str(tmp_path / "l.db")) as store, store.transaction() as tx:
        do(tx, "web", "put", "a", 1)
    with contextlib.closing(sqlite3.connect(tmp_path / "l.db")) as driver, driver:
        driver.execute("UPDATE document SET completed = replace(completed, '1', '9')")
    damaged = pytest.raises(StateDamaged, match="a row of document is damaged")
    with open_store(str(tmp_path / "l.db")) as store, damaged, store.transaction() as tx:
        tx.unique_index.find("web", ("v",), [1])


def test_a_document_that_is_damaged_is_told(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "l.db")) as store, store.transaction() as tx:
        do(tx, "web", "put", "a", 1)
    rewrite(tmp_path / "l.db", "UPDATE document SET completed = '{'")
    damaged = pytest.raises(StateDamaged, match="a document of the instance 1 is damaged")
    with open_store(str(tmp_path / "l.db")) as store, damaged, store.transaction() as tx:
        tx.unique_index.find("web", ("v",), [1])
