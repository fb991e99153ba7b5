"""Documents that SQLite joins are those that are read row by row, whatever happens to the state or to its disk."""

import contextlib
import random

import pytest

from lmaps.errors import StateDamaged
from lmaps.store import Document, Edit, KeySealer, Origin, open_store, snapshots

WHY = Origin("me")
ODD = ["it's", 'say "so"', "back\\slash", "nul\0", "é\u2028\x7f", ","]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "BLOCK_SIZE", 4)
    with open_store(str(tmp_path / "lmaps.db")) as opened:
        yield opened


def document(tx, key, text, unit="web", **columns):
    return Document(
        key, f'{{"g":"{text}"}}', f'{{"c":"{text}"}}', tx.instances.definition(unit, "digest", "{}"), **columns
    )


def create(tx, unit, *keys, **columns):
    edits = [Edit(None, document(tx, key, f"t{number}", unit, **columns)) for number, key in enumerate(keys)]
    tx.changesets.record(unit, "create", WHY, edits)


def text(tx, unit="web"):
    """What is joined, twice: once looked at row by row where anything is new, once not."""
    rows = tx.snapshots.texts(unit)
    for _ in range(2):
        count, blocks = tx.snapshots.joined(unit)
        assert (count, b",".join(blocks).decode()) == (len(rows.keys), ",".join(rows.clear_completed))
    return b",".join(blocks).decode()


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_done(store, seed):
    """``many`` is read by number, ``few`` by unit."""
    chosen = random.Random(seed)
    for step in range(40):
        unit = "few" if chosen.random() < 0.1 else "many"
        with contextlib.suppress(ZeroDivisionError), store.transaction() as tx:
            there = tx.instances.all(unit)
            some = chosen.sample(there, min(len(there), chosen.randrange(4)))
            match chosen.randrange(6):
                case 0:
                    tx.changesets.rollback(unit, WHY, chosen.randrange(1, 3))
                case 1:
                    tx.changesets.redo(unit, WHY)
                case 2:
                    tx.changesets.record(unit, "delete", WHY, [Edit.of(each, None) for each in some])
                case 3:
                    edits = [Edit.of(each, document(tx, each.key, f"it's {step}", unit)) for each in some]
                    tx.changesets.record(unit, "set", WHY, edits)
                case _:
                    words = [f"{chosen.choice(ODD)}{step}/{number}" for number in range(chosen.randrange(8))]
                    create(tx, unit, *words)
            text(tx, unit)
            if chosen.random() < 0.2:
                raise ZeroDivisionError
        with store.transaction() as tx:
            for each in ("few", "many", "none"):
                text(tx, each)


@pytest.mark.parametrize("unit", ["many", "few"])
@pytest.mark.parametrize(
    "damage",
    [
        "document SET completed = replace(completed, 't1', 't7')",
        "document SET given = replace(given, 't1', 't7')",
        "document SET given = x'ff'",
        "document SET definition = definition + 1",
        "instance SET key = key || '!'",
        "instance SET document = document - 1",
        "instance SET first_revision = 7",
        "instance SET revision = 2 << 61",
        "instance SET id = 2 << 60",
        "instance SET id = -7",
    ],
)
def test_damage_is_told_though_the_rows_were_in_order_before(store, unit, damage):
    with store.transaction() as tx:
        create(tx, "few", "f0", "f1", "f2")
        create(tx, "many", *[f"m{number}" for number in range(40)])
        tx.instances.definition(unit, "other", "{}")
        text(tx, unit)
    with pytest.raises(StateDamaged), store.transaction() as tx:
        of = "document" if damage.startswith("instance") else "id"
        damaged = f"UPDATE {damage} WHERE {of} = (SELECT document FROM instance WHERE key = ?)"  # noqa: S608
        tx.session.connection.connection.driver_connection.execute(damaged, (f"{unit[0]}1",))
        tx.snapshots.joined(unit)


def test_a_damaged_checksum_changes_nothing_that_is_told(store):
    with store.transaction() as tx:
        create(tx, "web", "a", "b")
        before = text(tx)
        tx.session.connection.connection.driver_connection.execute("UPDATE instance SET checksum = 7")
        assert b",".join(tx.snapshots.joined("web")[1]).decode() == before
        with pytest.raises(StateDamaged):
            tx.snapshots.texts("web")


def test_what_is_sealed_is_opened_each_time(tmp_path):
    with open_store(str(tmp_path / "lmaps.db"), KeySealer(bytes(32))) as store, store.transaction() as tx:
        create(tx, "web", "a", "b", secret=True)
        create(tx, "web", "c")
        assert text(tx) == '{"c":"t0"},{"c":"t1"},{"c":"t0"}'
