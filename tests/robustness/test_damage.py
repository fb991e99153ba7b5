"""Databases that the disk has damaged: whatever was changed in the file, it is told, or it changes nothing."""

import gc
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import StateUnusable
from lmaps.model.states import ChangesetKind, JobKind
from lmaps.store import Document, Edit, Origin, Store, open_store
from lmaps.store.backup import verify
from tests.daemons import RunningDaemon
from tests.robustness.answers import hosts

WHY = Origin("me", None, "cli", "because", None, "key")
PAGE = 4096


def make(store: Store, rng: random.Random, numbers: Iterable[int]) -> None:
    """Two units with a history, jobs and answers."""
    for number in numbers:
        with store.transaction() as tx:
            unit = rng.choice(["web", "db"])
            if rng.random() < 0.2:
                tx.changesets.rollback(unit, WHY)
            else:
                text = f'{{"k":"{unit}{number}","t":"{"x" * rng.randrange(400)}"}}'
                document = Document(f"{unit}{number}", text, text, tx.instances.definition(unit, "digest", "{}"))
                tx.changesets.record(unit, ChangesetKind.CREATE, WHY, [Edit(None, document)])
            job = tx.jobs.add(unit, JobKind.APPLY, tx.revision(), "digest", WHY)
            tx.jobs.update(job.id, state="succeeded")
            tx.jobs.add_lines(job.id, 1, [{"at": "t", "stream": "output", "text": "said " * 20}])
            tx.requests.add(f"k{number}", "digest", "create", unit, "{}", tx.revision())


def see(path: Path, changes: int) -> dict[str, Any]:
    """All that a daemon has to tell of a state; raises what it says if it is damaged."""
    with open_store(str(path)) as store, store.transaction() as tx:
        return {
            "revisions": (tx.revision(), tx.history.changesets()),
            "units": [
                (
                    name,
                    tx.instances.all(name),
                    tx.snapshots.joined(name),
                    tx.instances.definitions(name),
                    tx.history.head(name),
                    tx.history.redoable(name),
                    tx.history.changesets(name),
                    tx.jobs.applied_revision(name),
                    [tx.instances.find(name, [f"{name}{number}"]) for number in range(changes)],
                )
                for name in tx.history.units()
            ],
            "changes": [tx.history.changes(number) for number in range(1, tx.revision() + 1)],
            "jobs": [tx.jobs.find(number) for number in range(1, changes + 1)],
            "newest jobs": tx.jobs.search(limit=changes),
            "answers": [tx.requests.find(f"k{number}") for number in range(changes)],
        }


def flips(rng: random.Random, whole: bytes, count: int) -> Iterator[bytes]:
    """Bits, anywhere."""
    for _ in range(count):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 8])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        yield bytes(damaged)


def first_bytes(rng: random.Random, whole: bytes, count: int) -> Iterator[bytes]:
    """One byte after the other of the first page, and what SQLite keeps in it."""
    for place in rng.sample(range(PAGE), count):
        yield whole[:place] + bytes([whole[place] ^ rng.randrange(1, 256)]) + whole[place + 1 :]


def cuts(rng: random.Random, whole: bytes, count: int) -> Iterator[bytes]:
    """The file ends too early, at zero too."""
    places = range(0, len(whole), 512)
    for place in [0, *rng.sample(places, min(count, len(places)))]:
        yield whole[:place]


def lost_pages(rng: random.Random, whole: bytes, count: int) -> Iterator[bytes]:
    """A page is empty, noise, or another one."""
    pages = len(whole) // PAGE
    for _ in range(count):
        place, other = rng.randrange(pages) * PAGE, rng.randrange(pages) * PAGE
        page = rng.choice([bytes(PAGE), rng.randbytes(PAGE), whole[other : other + PAGE]])
        yield whole[:place] + page + whole[place + PAGE :]


KINDS = {"bits": flips, "bytes of page 1": first_bytes, "cuts": cuts, "pages": lost_pages}


CHANGES = 40


def begin(path: Path, seed: int) -> random.Random:
    """A state that was closed in order."""
    rng = random.Random(seed)
    with open_store(str(path)) as store:
        make(store, rng, range(CHANGES))
    return rng


def told(path: Path) -> dict[str, Any] | None:
    """What a daemon tells of the state; None if it says that it is damaged, and what to do."""
    try:
        return see(path, CHANGES)
    except StateUnusable as error:
        assert error.daemon_level == 65
        assert re.search("lmaps restore|install the version", f"{error.hint} {error.message}"), error
        return None


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_reported_or_changes_nothing(
    tmp_path: Path, rounds: Callable[[int, int], int], seed: int, figure: Callable[[str, str], None], kind: str
) -> None:
    path = tmp_path / "lmaps.db"
    rng = begin(path, seed)
    whole, expected = path.read_bytes(), see(path, CHANGES)
    forgotten = expected | {"answers": [None] * CHANGES}
    refused: list[bool] = []
    unseen = 0
    for damaged in KINDS[kind](rng, whole, rounds(15, 500)):
        path.write_bytes(damaged)
        path.with_name("lmaps.db-wal").unlink(missing_ok=True)
        seen = told(path)
        gc.collect()  # an error keeps what was being read, and so the locks
        refused.append(seen is None)
        if kind == "pages" and seen == forgotten:  # an empty table's page in the place of the only one of answers
            unseen += 1
            continue
        assert seen is None or seen == expected, "silent"
    assert unseen <= 1 + len(refused) // 100
    words = f"{len(refused)}: {sum(refused)} reported, the others harmless, {unseen} silent"
    figure(f"19 damaged database: {kind}", words + (" (all answers of requests forgotten)" if unseen else ""))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["bits", "cuts"])
def test_a_damaged_log_gives_an_older_state_as_a_whole(
    tmp_path: Path, rounds: Callable[[int, int], int], seed: int, figure: Callable[[str, str], None], kind: str
) -> None:
    """What a crash has left: its log ends where its sums end, and nobody can tell that from where it was cut off."""
    path, log = tmp_path / "lmaps.db", tmp_path / "lmaps.db-wal"
    rng = begin(path, seed)
    with open_store(str(path)) as store:
        make(store, rng, range(CHANGES, 2 * CHANGES))
        whole, logged = path.read_bytes(), log.read_bytes()
    changesets = see(path, CHANGES)["revisions"][1]
    older: list[bool] = []
    for damaged in KINDS[kind](rng, logged, rounds(10, 300)):
        path.write_bytes(whole)
        log.write_bytes(damaged)
        seen = told(path)
        gc.collect()
        if seen is not None:
            revision, found = seen["revisions"]
            assert found == changesets[len(changesets) - revision :], "no state that ever was"
            assert verify(str(path)) == revision
            older.append(revision < len(changesets))
    figure(
        f"19 damaged log of the database: {kind}",
        f"{len(older)}: {sum(older)} times an older state as a whole, 0 mixed",
    )


def test_a_daemon_does_not_start_on_a_damaged_database(start_daemon: Callable[..., RunningDaemon]) -> None:
    daemon = start_daemon()
    path = daemon.directory / "lmaps.db"
    with daemon.client() as client:
        for number in range(200):
            client.call("create", unit="web", instances=[{"host": f"h{number}"}])
    assert daemon.end() == 0
    backup = daemon.directory / "lmaps.db.0001.2026.backup"
    shutil.copy(path, backup)
    whole = path.read_bytes()
    for damaged in (b"", whole[: PAGE * 3], whole[: PAGE * 4] + bytes(PAGE) + whole[PAGE * 5 :]):
        path.write_bytes(damaged)
        daemon.start()
        assert daemon.process.wait(20) == 65
        assert f"lmaps restore {backup}" in daemon.output()
        assert path.read_bytes() == damaged or not damaged
    done = daemon.lmaps("restore", str(backup))
    assert done.returncode == 0, done.stderr
    daemon.start()
    daemon.wait_ready()
    with daemon.client() as client:
        assert len(hosts(client)) == 200
