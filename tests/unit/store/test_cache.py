"""What the store keeps in memory is what the database has, whatever happens, and whatever is taken back."""

import contextlib
import random

import pytest

from lmaps.store import Document, Edit, Origin, open_store
from lmaps.store.session import Cache

WHY = Origin("me")
UNITS = ("web", "db")


@pytest.fixture
def store(tmp_path):
    with open_store(str(tmp_path / "lmaps.db")) as opened:
        yield opened


def told(tx):
    return tx.history.newest(), tx.jobs.queued(), *(told_of(tx, unit) for unit in UNITS)


def told_of(tx, unit):
    return (
        tx.history.head(unit),
        tx.instances.count(unit),
        tx.jobs.last_apply(unit),
        tx.jobs.applied_revision(unit),
        tx.jobs.count_pending(unit),
        tx.jobs.unconfirmed(unit),
        tx.instances.definition(unit, "digest", "{}"),
    )


def is_there(tx):
    """The same, with nothing kept."""
    session = tx.session
    cache, session.cache = session.cache, Cache()
    found = told(tx)
    session.cache = cache
    return found


def act(chosen, tx, unit, step):
    """Do something that a daemon does."""
    jobs = tx.jobs.search(unit)
    match chosen.randrange(9):
        case 0:
            tx.changesets.rollback(unit, WHY, chosen.randrange(1, 4))
        case 1:
            tx.changesets.redo(unit, WHY)
        case 2:
            tx.changesets.retain(unit, chosen.randrange(1, 4), None)
        case 3:
            tx.changesets.mark_restored(unit, WHY)
        case 4:
            tx.jobs.add(unit, chosen.choice(["apply", "plan"]), tx.history.newest_revision(unit) or 0, "digest", WHY)
        case 5 if jobs:
            confirmation = chosen.choice([None, "waiting", "confirmed"])
            tx.jobs.update(chosen.choice(jobs).id, state="running", started_at="t", confirmation=confirmation)
        case 6 if jobs:
            tx.jobs.end(chosen.choice(jobs).id, state=chosen.choice(["succeeded", "failed"]))
        case 7 if tx.jobs.queued():
            tx.jobs.withdraw(chosen.choice(tx.jobs.queued()).id)
        case _:
            document = Document(f"k{step}", "{}", "{}", tx.instances.definition(unit, "digest", "{}"))
            tx.changesets.record(unit, "create", WHY, [Edit(None, document)])


@pytest.mark.parametrize("seed", range(10))
def test_what_is_known_is_what_is_there(store, seed):
    chosen = random.Random(seed)
    for step in range(60):
        unit = chosen.choice(UNITS)
        with contextlib.suppress(ZeroDivisionError), store.transaction() as tx:
            if chosen.random() < 0.8:
                told(tx)
            with tx.discarded() if chosen.random() < 0.2 else contextlib.nullcontext():
                for _ in range(chosen.randrange(1, 4)):
                    act(chosen, tx, unit, f"{step}/{chosen.random()}")
                assert told(tx) == is_there(tx)
            if chosen.random() < 0.2:
                raise ZeroDivisionError
        with store.transaction() as tx:
            assert told(tx) == is_there(tx)
