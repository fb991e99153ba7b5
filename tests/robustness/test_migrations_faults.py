"""Upgrades that are killed, or have no room: the next start finishes them, and a whole copy of before is there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps.errors import NoSpace
from lmaps.store import open_store
from lmaps.store.backup import verify
from lmaps.store.migrate import known_revisions
from lmaps.util.failpoints import set_up_failpoints
from tests.robustness.disks import leave, small_disk
from tests.robustness.test_failpoints import make_old_state
from tests.robustness.verifying import check_database, rows

STEPS = [("migrate.backup", 1), *(("migrate.step", number) for number in range(1, len(known_revisions())))]
OPEN = "import os, sys; from lmaps.util.failpoints import *; set_up_failpoints(os.environ); from lmaps.store import *; "
OPEN += "open_store(sys.argv[1]).close()"


def check_untouched(path: Path) -> None:
    """It is as it was."""
    assert rows(path, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert rows(path, "SELECT key FROM instance") == [("a",)]


def check_finished(path: Path) -> None:
    """The next start brings it to this version; every copy of before is whole, and nothing else is left."""
    with open_store(str(path)) as store, store.transaction() as tx:
        assert [each.key for each in tx.instances.all("web")] == ["a"]
    check_database(path)
    backups = list(path.parent.glob("lmaps.db.*.backup"))
    assert backups
    for backup in backups:
        assert verify(str(backup)) == 1
    others = {each.name for each in path.parent.iterdir() if each not in backups}
    assert others == {"lmaps.db", "lmaps.db.lineage"}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("point", "hit"), STEPS)
def test_an_upgrade_that_is_killed(
    tmp_path: Path, rounds: Callable[[int, int], int], figure: Callable[[str, str], None], point: str, hit: int
) -> None:
    for number in range(rounds(1, 20)):
        path = tmp_path / str(number) / "lmaps.db"
        path.parent.mkdir()
        make_old_state(path)
        environment = os.environ | {"LMAPS_FAILPOINTS": f"{point}={hit}*kill"}
        done = subprocess.run([sys.executable, "-c", OPEN, path], env=environment, timeout=60, check=False)
        assert done.returncode == -9
        check_finished(path)
    figure(f"26 upgrade killed at {point} {hit}", f"{rounds(1, 20)} times: finished by the next start, backups whole")


@pytest.mark.parametrize(("point", "hit"), STEPS)
def test_an_upgrade_that_fails_for_want_of_room(tmp_path: Path, point: str, hit: int) -> None:
    path = tmp_path / "lmaps.db"
    make_old_state(path)
    set_up_failpoints({"LMAPS_FAILPOINTS": f"{point}={hit}*raise(28)"})
    try:
        with pytest.raises(NoSpace):
            open_store(str(path))
    finally:
        set_up_failpoints({})
    check_untouched(path)
    check_finished(path)


@pytest.mark.timeout(1800)
def test_an_upgrade_on_a_disk_that_gets_full_at_each_write(
    tmp_path: Path, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    refused = 0
    with small_disk(tmp_path / "disk", "16m") as disk:
        for pages in range(0, 120, rounds(24, 1)):
            path = disk / str(pages) / "lmaps.db"
            path.parent.mkdir()
            leave(disk, 1024)
            make_old_state(path)
            leave(disk, pages)
            try:
                open_store(str(path)).close()
            except NoSpace:
                refused += 1
                leave(disk, 1024)
                check_untouched(path)
            leave(disk, 1024)
            check_finished(path)
    figure("26 upgrade on a full disk", f"{120 // rounds(24, 1)} sizes, {refused} times full: 0 wrecks")
    assert refused
