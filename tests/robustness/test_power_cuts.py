"""Power cuts: what was acknowledged before is there afterwards, once, whole, in order, and nothing is damaged."""

import random
import select
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmaps import Client
from lmaps.cli.documents import write_whole
from lmaps.errors import OutcomeUnknown
from lmaps.store.migrate import known_revisions
from tests.daemons import is_alive, until
from tests.history_model import UNITS
from tests.robustness import test_failpoints as scenes
from tests.robustness.disks import disk
from tests.robustness.hosts import Cut, Host, host
from tests.robustness.load import Entry, Load, ask
from tests.robustness.test_random_kills import keep_what_failed
from tests.robustness.tree import answers
from tests.robustness.verifying import check_daemon, check_database, check_everything, check_keys, rows

CLIENTS = 8
CUTS = 25
"""Cuts between two looks at everything."""


def is_well(client: Client) -> bool:
    told = answers(client)
    return told is not None and sum(is_alive(row["pid"]) for row in told["workers"]) == 2


def ask_again(client: Client, journal: list[Entry], cut: Cut) -> int:
    """What was answered while power failed was not: what may have changed something is asked again under its key.

    How many answers that were.
    """
    doubtful = [entry for entry in journal if entry.answered is not None and cut.begin <= entry.answered <= cut.end]
    for entry in doubtful:
        may_be_done = entry.verb != "show" and (entry.acknowledged or entry.reply.code == OutcomeUnknown.code)
        entry.reply = entry.answered = None
        if may_be_done:
            ask(client, entry)
    return len(doubtful)


def cut_under_load(directory: Path, rng: random.Random, cuts: int) -> Counter[str]:
    """So many cuts under eight clients, half of them live, on one disk, and then a look at everything."""
    counts: Counter[str] = Counter()
    with host(directory, UNITS, workers=2) as its, Client(its.endpoint, 3.0) as client:
        until(lambda: is_well(client))
        with Load(its.endpoint, CLIENTS, rng.randrange(2**32)).running() as load:
            for number in range(cuts):
                select.select([], [], [], rng.uniform(0.02, 0.3))
                cut = its.cut_power(stopped=number % 2 == 0)
                until(lambda: is_well(client))
                counts["doubtful"] += ask_again(client, load.journal, cut)
        until(lambda: all(row["over"] for row in client.call("jobs", limit=10_000).extra["jobs"]), within=60)
        assert its.end() == 0
        counts["acknowledged"] = check_everything(its.database, its.config_file, load.journal)
        counts["unknown"] = sum(entry.unknown for entry in load.journal)
    return counts


@pytest.mark.timeout(3600)
def test_power_cuts_under_eight_clients(
    short_path: Path, rounds: Callable[[int, int], int], seed: int, figure: Callable[[str, str], None]
) -> None:
    rng = random.Random(seed)
    counts = Counter[str]()
    done, count = 0, rounds(6, 200)
    while done < count:
        directory = short_path / str(done)
        directory.mkdir()
        try:
            counts += cut_under_load(directory, rng, min(CUTS, count - done))
        except BaseException:
            keep_what_failed(directory, seed)
            raise
        done += min(CUTS, count - done)
        shutil.rmtree(directory)
    figure(
        "7 power cuts at any time, under eight clients",
        f"{count} cuts, {counts['acknowledged']:,} changes acknowledged, {counts['unknown']:,} times the outcome was "
        "unknown at first: 0 lost, 0 half, 0 doubles, 0 corrupt",
    )


def cut_when_there(its: Host) -> None:
    """Cut power when a process of the daemon has come to the failpoint that was armed."""
    until(its.has_acted)
    its.cut_power(stopped=True)


FIRST = [("migrate.step", 1), ("start", 1)]
UPGRADE = [("migrate.backup", 1), *(("migrate.step", hit) for hit in range(1, len(known_revisions()))), ("start", 1)]


@pytest.mark.parametrize("old", [False, True], ids=["first start", "upgrade"])
def test_power_cuts_while_the_tables_are_made(short_path: Path, old: bool, figure: Callable[[str, str], None]) -> None:
    """After each the next start has all of the old state, or a new one; an upgrade that was done has a whole backup."""
    points = UPGRADE if old else FIRST
    with disk(short_path) as its:
        for number, (point, hit) in enumerate(points):
            directory = short_path / str(number)
            directory.mkdir()
            database = its.place / str(number) / "lmaps.db"
            database.parent.mkdir()
            if old:
                scenes.make_old_state(database)
                its.sync()
            (directory / "failpoints").write_text(f"{point}={hit}*stop")
            made = Host(directory, its, scenes.UNITS, state=str(number))
            try:
                cut_when_there(made)
                check_start(made, old)
            finally:
                made.end()
    figure("7 power cuts " + ("during an upgrade" if old else "during the first start"), f"{len(points)} cuts, 0 lost")


def check_start(its: Host, old: bool) -> None:
    """It starts, has what was there, and takes what is new."""
    with its.client() as client:
        until(lambda: answers(client))
        client.call("create", unit="other", instances=[{"id": "new"}])
        assert [row["id"] for row in client.call("show", unit="web", instances=True).extra["instances"]] == ["a"] * old
    assert its.end() == 0
    check_database(its.database)
    backups = sorted(its.database.parent.glob("*.backup"))
    assert bool(backups) == old
    if old:
        assert rows(backups[0], "SELECT key FROM instance") == [("a",)], "a backup of before the cut is not whole"


STORIES: dict[str, Callable[[scenes.Scene], None]] = {
    "import.mid": scenes.move,
    "batch.before_commit": scenes.change,
    "batch.after_commit": scenes.change,
    "rollback.after": scenes.undo,
    "dispatch.after": scenes.run,
    "result.before_commit": scenes.run,
    "confirm.armed": scenes.confirmed,
    "confirm.due": scenes.unconfirmed,
    "confirm.undone": scenes.unconfirmed,
}


@pytest.mark.timeout(600)
def test_power_cuts_in_the_middle_of_what_is_done(short_path: Path, figure: Callable[[str, str], None]) -> None:
    """Whoever asked asks again under the same key, and has it done once."""
    with host(short_path, scenes.UNITS, workers=2) as its, ThreadPoolExecutor(1) as thread:
        scene = scenes.Scene(its)
        for point, part in STORIES.items():
            scene.name = point.replace(".", "-")
            its.arm(point, "stop")
            played = thread.submit(part, scene)
            cut_when_there(its)
            played.result(60)
            until(lambda: all(row["over"] for row in scene.ask("jobs").extra["jobs"]))
        assert its.end() == 0
        check_database(its.database)
        check_daemon(its.config_file)
        check_keys(its.database, scene.journal)
    figure("7 power cuts during an import, an apply, a confirmation", f"{len(STORIES)} points, 0 lost, 0 half")


def test_a_power_cut_right_after_a_file_was_written(short_path: Path, rounds: Callable[[int, int], int]) -> None:
    """What the command line has written is there when it says so."""
    with disk(short_path) as its:
        for number in range(rounds(2, 20)):
            file = its.place / str(number)
            file.write_bytes(b"old")
            its.sync()
            write_whole(file, [b"new " * 10_000])
            its.cut_power()
            its.unmount()
            its.mount()
            assert file.read_bytes() == b"new " * 10_000, "what was written is not there"
