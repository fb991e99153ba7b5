"""Files that commands write: what holds secrets is its owner's alone, and goes through no link of somebody else."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemons import BIN, RunningDaemon

UNIT = """\
meta: {name: vault, primary_key: id}
handler: {type: noop}
params: {type: object, required: [id], properties: {id: {type: string}, secret: {writeOnly: true}}}
"""
NOBODY = 65534
SECRET = "hunter2hunter2"
WRITING = {
    "backup": ("backup", "{}"),
    "export": ("export", "--reveal", "--output", "{}"),
    "export of a history": ("export", "--history", "--reveal", "--output", "{}"),
    "tree": ("export", "--reveal", "--tree", "{}"),
    "keygen": ("keygen", "{}"),
}
"""The commands that write a file that the caller names."""


@pytest.fixture
def daemon(start_daemon: Callable[..., RunningDaemon]) -> RunningDaemon:
    daemon = start_daemon(UNIT)
    assert daemon.lmaps("create", "vault", "--set", "id=a", "--set", f"secret={SECRET}").returncode == 0
    return daemon


def run(daemon: RunningDaemon, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run ``lmaps`` as a careless user does, whose files are everybody's."""
    command = [str(BIN / "lmaps"), "--config", str(daemon.config_file), *args]
    return subprocess.run(
        command, env=daemon.environment, umask=0, capture_output=True, text=True, timeout=30, check=False
    )


def files_for_others(directory: Path) -> list[str]:
    """Return the files that somebody else may read or write, except public keys."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".pub"]
    assert files
    return [f"{path.name} {mode:o}" for path in files if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077]


@pytest.mark.parametrize("command", WRITING)
def test_what_holds_secrets_is_its_owners_alone(daemon: RunningDaemon, short_path: Path, command: str) -> None:
    written = short_path / "written"
    written.mkdir()
    done = run(daemon, *(word.format(written / "file") for word in WRITING[command]))
    assert done.returncode == 0, done.stderr
    assert files_for_others(written) == []


def test_what_a_restore_leaves_is_its_owners_alone(daemon: RunningDaemon, short_path: Path) -> None:
    backup = short_path / "backup.db"
    assert run(daemon, "backup", str(backup)).returncode == 0
    daemon.end()
    db = Path(daemon.directory)
    before = set(db.rglob("*"))
    done = run(daemon, "restore", str(backup))
    assert done.returncode == 0, done.stderr
    made = [path for path in set(db.rglob("*")) - before if path.is_file()]
    assert made
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a link that is another user's")
@pytest.mark.parametrize("command", WRITING)
def test_no_command_writes_through_a_link_of_somebody_else(
    daemon: RunningDaemon, short_path: Path, command: str
) -> None:
    shared, aim = short_path / "shared", short_path / "aim"
    shared.mkdir()
    shared.chmod(0o1777)
    for name in ("file", "file.pub", "file.sha256"):
        (shared / name).symlink_to(aim / name)
        os.chown(shared / name, NOBODY, NOBODY, follow_symlinks=False)
    aim.mkdir()
    done = run(daemon, *(word.format(shared / "file") for word in WRITING[command]))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and done.stderr.startswith("cannot ")
    assert list(aim.iterdir()) == []
