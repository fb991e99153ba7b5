import os
import stat
from pathlib import Path

import pytest

from lmaps.errors import AnotherDaemon, ConfigError
from lmaps.supervisor.locks import locked, make_directory


def test_the_pid_stands_in_the_lock_file(tmp_path):
    with locked([tmp_path / "lmaps.db"]):
        assert (tmp_path / "lmaps.db.lock").read_text() == f"{os.getpid()}\n"


def test_a_second_holder_is_refused_and_told_the_first_ones_pid(tmp_path):
    with (
        locked([tmp_path / "lmaps.db"]),
        pytest.raises(AnotherDaemon, match=rf"pid {os.getpid()}\) uses .*lmaps.db"),
        locked([tmp_path / "other.sock", tmp_path / "lmaps.db"]),
    ):
        pytest.fail("held twice")
    with locked([tmp_path / "other.sock", tmp_path / "lmaps.db"]):
        pass


def test_the_same_path_twice_is_one_lock(tmp_path):
    with locked([tmp_path / "x", tmp_path / "x"]):
        pass


@pytest.mark.parametrize("stale", ["", "1\n", "999999999\n", "no pid"])
def test_a_stale_lock_file_is_no_obstacle(tmp_path, stale):
    (tmp_path / "x.lock").write_text(stale)
    with locked([tmp_path / "x"]):
        assert (tmp_path / "x.lock").read_text() == f"{os.getpid()}\n"


def test_locks_are_not_handed_to_programs(tmp_path):
    with locked([tmp_path / "x"]):
        held = [fd for fd in Path("/proc/self/fd").iterdir() if fd.resolve() == tmp_path.resolve() / "x.lock"]
        assert [os.get_inheritable(int(fd.name)) for fd in held] == [False]


def test_directories_are_made_for_this_user_alone(tmp_path):
    make_directory(tmp_path / "a" / "b")
    for directory in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_is_an_error_of_the_configuration(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot make the directory"):
        make_directory(tmp_path / "file" / "below")


def test_a_link_in_the_place_of_the_lock_is_refused(tmp_path):
    (tmp_path / "x.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot open the lock"), locked([tmp_path / "x"]):
        pytest.fail("followed a link")
    assert not (tmp_path / "elsewhere").exists()
