"""Documents that SQLite joins are those that are read row by row, whatever happens to the state or to its disk."""

import contextlib
import random

import pytest

from lmaps.errors import StateDamaged
from lmaps.store import Document, Edit, Origin, Sealer, open_store, snapshots

WHY = Origin("me")
ODD = ["it's", 'say "so"', "back\\slash", "nul\0", "é\u2028\x7f", ","]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "BLOCK", 4)
    with open_store(str(tmp_path / "lmaps.db")) as opened:
        yield opened


def document(state, key, text, unit="web", **columns):
    return Document(key, f'{{"g":"{text}"}}', f'{{"c":"{text}"}}', state.definition(unit, "digest", "{}"), **columns)


def create(state, unit, *keys, **columns):
    edits = [Edit(None, document(state, key, f"t{number}", unit, **columns)) for number, key in enumerate(keys)]
    state.change(unit, "create", WHY, edits)


def text(state, unit="web"):
    """What is joined, twice: once looked at row by row where anything is new, once not."""
    rows = state.texts(unit)
    for _ in range(2):
        count, blocks = state.joined(unit)
        assert (count, b",".join(blocks).decode()) == (len(rows.keys), ",".join(rows.completed))
    return b",".join(blocks).decode()


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_done(store, seed):
    """``many`` is read by number, ``few`` by unit."""
    chosen = random.Random(seed)
    for step in range(40):
        unit = "few" if chosen.random() < 0.1 else "many"
        with contextlib.suppress(ZeroDivisionError), store.transaction() as state:
            there = state.instances(unit)
            some = chosen.sample(there, min(len(there), chosen.randrange(4)))
            match chosen.randrange(6):
                case 0:
                    state.rollback(unit, WHY, chosen.randrange(1, 3))
                case 1:
                    state.redo(unit, WHY)
                case 2:
                    state.change(unit, "delete", WHY, [Edit.of(each, None) for each in some])
                case 3:
                    edits = [Edit.of(each, document(state, each.key, f"it's {step}", unit)) for each in some]
                    state.change(unit, "set", WHY, edits)
                case _:
                    words = [f"{chosen.choice(ODD)}{step}/{number}" for number in range(chosen.randrange(8))]
                    create(state, unit, *words)
            text(state, unit)
            if chosen.random() < 0.2:
                raise ZeroDivisionError
        with store.transaction() as state:
            for each in ("few", "many", "none"):
                text(state, each)


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
    with store.transaction() as state:
        create(state, "few", "f0", "f1", "f2")
        create(state, "many", *[f"m{number}" for number in range(40)])
        state.definition(unit, "other", "{}")
        text(state, unit)
    with pytest.raises(StateDamaged), store.transaction() as state:
        of = "document" if damage.startswith("instance") else "id"
        damaged = f"UPDATE {damage} WHERE {of} = (SELECT document FROM instance WHERE key = ?)"  # noqa: S608
        state.connection.connection.driver_connection.execute(damaged, (f"{unit[0]}1",))
        state.joined(unit)


def test_a_damaged_checksum_changes_nothing_that_is_told(store):
    with store.transaction() as state:
        create(state, "web", "a", "b")
        before = text(state)
        state.connection.connection.driver_connection.execute("UPDATE instance SET checksum = 7")
        assert b",".join(state.joined("web")[1]).decode() == before
        with pytest.raises(StateDamaged):
            state.texts("web")


def test_what_is_sealed_is_opened_each_time(tmp_path):
    with open_store(str(tmp_path / "lmaps.db"), Sealer(bytes(32))) as store, store.transaction() as state:
        create(state, "web", "a", "b", secret=True)
        create(state, "web", "c")
        assert text(state) == '{"c":"t0"},{"c":"t1"},{"c":"t0"}'
