"""Requests that share a commit: one that fails spares the others, and a kill between two answers loses none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmaps.errors import LmapsError
from lmaps.manager.group_commit import commit
from lmaps.model.states import ChangesetKind
from lmaps.store import Document, Edit, Origin, Transaction, open_store
from tests.daemons import until
from tests.robustness.batches import Batch
from tests.robustness.disks import small_disk
from tests.robustness.load import Entry, ask
from tests.robustness.tree import Tree
from tests.robustness.verifying import check_database, check_keys

pytestmark = pytest.mark.timeout(900)
UNITS = """\
meta: {name: web, primary_key: id}
params: {type: object, required: [id], properties: {id: {type: string}}}
---
meta: {name: strict, primary_key: id, require: [message]}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""
LATE_REFUSAL = {"unit": "strict", "instances": [{"id": "b"}], "message": "why", "apply": {"confirm": "1m"}}
"""Refused after its instance is written: the unit was never applied, so that its job could not be undone."""


@pytest.fixture
def tree(short_path: Path) -> Iterator[Tree]:
    made = Tree(short_path, UNITS, workers=1)
    made.wait_ready()
    yield made
    made.end()


def creations(group: int, size: int) -> list[Entry]:
    return [Entry("create", {"unit": "web", "instances": [{"id": f"g{group}-{each}"}]}) for each in range(size)]


def names(tree: Tree) -> list[str]:
    with tree.client() as client:
        return [row["id"] for row in client.call("show", unit="web", instances=True).extra["instances"]]


def test_one_of_a_group_fails(
    tree: Tree, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    """At each place of groups of each size: it is refused after it has written, the others are done in their order."""
    why = Entry("create", {"unit": "strict", "instances": [{"id": "a"}], "message": "why"})
    with tree.client() as client:
        ask(client, why)
    journal, expected = [why], list[str]()
    groups = [(size, place) for size in (2, 5, 16, 64)[: rounds(2, 4)] for place in range(size)]
    for group, (size, place) in enumerate(groups):
        entries = creations(group, size)
        expected += [entry.args["instances"][0]["id"] for entry in entries if entry is not entries[place]]
        entries[place] = Entry("create", LATE_REFUSAL)
        with Batch(tree) as batch:
            batch.send(entries)
            assert batch.receive(size) == size
        assert [entry.acknowledged for entry in entries] == [each != place for each in range(size)]
        journal += entries
    assert names(tree) == expected
    with tree.client() as client:
        assert client.call("status").extra["counters"]["group_largest"] >= groups[-1][0], "they were no group"
        rows = client.call("show", unit="strict", instances=True).extra["instances"]
        assert [row["id"] for row in rows] == ["a"], "what was refused was done"
    assert tree.end() == 0
    assert check_database(tree.directory / "lmaps.db") == len(expected) + 1
    check_keys(tree.directory / "lmaps.db", journal)
    figure("59 one request of a group fails, at each place", f"{len(groups)} groups of up to 64, the others unharmed")


def test_a_kill_between_two_answers(
    tree: Tree, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    """All of the group is durable, and whoever asks again under his key has the answer that was given."""
    size, answered = rounds(8, 64), 0
    journal: list[Entry] = []
    for place in range(1, size):
        entries = creations(place, size)
        with Batch(tree) as batch:
            batch.send(entries, then="batch.mid_reply", action=f"{place}*kill")
            until(tree.has_acted)
            batch.receive(size, within=0.05)
        answered += sum(entry.reply is not None for entry in entries)
        with tree.client(5.0) as client:
            for entry in entries:
                again = Entry(entry.verb, entry.args, entry.key)
                ask(client, again)
                assert entry.reply is None or entry.reply.extra == again.reply.extra
                journal.append(again)
    expected = [entry.args["instances"][0]["id"] for entry in journal]
    assert names(tree) == expected
    assert tree.end() == 0
    assert check_database(tree.directory / "lmaps.db") == len(expected)
    check_keys(tree.directory / "lmaps.db", journal)
    figure(
        "60 manager killed between two answers of a group",
        f"{size - 1} kills, {len(journal):,} changes, {answered:,} answered before: 0 lost, 0 doubles",
    )


class Writing:
    """A piece of work that writes so much under a key, and knows what it was told."""

    def __init__(self, key: str, size: int) -> None:
        self.key, self.size = key, size
        self.told: str | None = None

    def run(self, tx: Transaction) -> None:
        number = tx.instances.definition("web", "digest", "{}")
        tx.changesets.record(
            "web", ChangesetKind.CREATE, Origin("me"), [Edit(None, Document(self.key, "x" * self.size, "{}", number))]
        )

    def settle(self) -> None:
        self.told = "done"

    def fail(self, error: LmapsError) -> None:
        self.told = error.code


def test_a_disk_that_gets_full_in_one_of_a_group(
    short_path: Path, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    """At each place. SQLite ends the whole transaction by itself: nothing of it counts, and each is done alone."""
    size = rounds(4, 8)
    with small_disk(short_path / "disk", "8m") as disk, open_store(str(disk / "lmaps.db")) as store:
        store._connection.exec_driver_sql("PRAGMA cache_size=10")  # so that it writes before the commit
        store._connection.rollback()
        for place in range(size):
            works = [Writing(f"g{place}-{each}", 16 * 2**20 if each == place else 1000) for each in range(size)]
            commit(store, works)
            assert [work.told for work in works] == ["no-space" if each == place else "done" for each in range(size)]
            with store.transaction() as tx:
                there = {instance.key for instance in tx.instances.all("web")}
            assert {work.key for work in works if work.told == "done"} == there & {work.key for work in works}
    figure("16 disk full in one of a group, at each place", f"{size} groups of {size}: the others kept, 0 lost")
