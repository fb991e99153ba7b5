"""What the store keeps in memory is what the database has, whatever happens, and whatever is taken back."""

import contextlib
import random

import pytest

from lmaps.store import Document, Edit, Origin, open_store
from lmaps.store.base import Cache

WHY = Origin("me")
UNITS = ("web", "db")


@pytest.fixture
def store(tmp_path):
    with open_store(str(tmp_path / "lmaps.db")) as opened:
        yield opened


def told(state):
    return state.newest(), state.queued(), *(told_of(state, unit) for unit in UNITS)


def told_of(state, unit):
    return (
        state.head(unit),
        state.count(unit),
        state.last_job(unit),
        state.applied_revision(unit),
        state.pending(unit),
        state.unconfirmed(unit),
        state.definition(unit, "digest", "{}"),
    )


def is_there(state):
    """The same, with nothing kept."""
    known, state.known = state.known, Cache()
    found = told(state)
    state.known = known
    return found


def act(chosen, state, unit, step):
    """Do something that a daemon does."""
    jobs = state.jobs(unit)
    match chosen.randrange(9):
        case 0:
            state.rollback(unit, WHY, chosen.randrange(1, 4))
        case 1:
            state.redo(unit, WHY)
        case 2:
            state.retain(unit, chosen.randrange(1, 4), None)
        case 3:
            state.mark_restored(unit, WHY)
        case 4:
            state.add_job(unit, chosen.choice(["apply", "plan"]), state.revision_of(unit) or 0, "digest", WHY)
        case 5 if jobs:
            confirmation = chosen.choice([None, "waiting", "confirmed"])
            state.update_job(chosen.choice(jobs).id, state="running", started_at="t", confirmation=confirmation)
        case 6 if jobs:
            state.end_job(chosen.choice(jobs).id, state=chosen.choice(["succeeded", "failed"]))
        case 7 if state.queued():
            state.withdraw_job(chosen.choice(state.queued()).id)
        case _:
            document = Document(f"k{step}", "{}", "{}", state.definition(unit, "digest", "{}"))
            state.change(unit, "create", WHY, [Edit(None, document)])


@pytest.mark.parametrize("seed", range(10))
def test_what_is_known_is_what_is_there(store, seed):
    chosen = random.Random(seed)
    for step in range(60):
        unit = chosen.choice(UNITS)
        with contextlib.suppress(ZeroDivisionError), store.transaction() as state:
            if chosen.random() < 0.8:
                told(state)
            with state.discarded() if chosen.random() < 0.2 else contextlib.nullcontext():
                for _ in range(chosen.randrange(1, 4)):
                    act(chosen, state, unit, f"{step}/{chosen.random()}")
                assert told(state) == is_there(state)
            if chosen.random() < 0.2:
                raise ZeroDivisionError
        with store.transaction() as state:
            assert told(state) == is_there(state)
