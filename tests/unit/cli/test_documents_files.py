"""Files that commands write: whole or not at all, and never over what is no file."""

import os
import stat

import pytest

from lmaps.cli.documents import output_path, write_whole
from lmaps.errors import UsageError


@pytest.mark.parametrize("name", [".", "/", "/dev/null", "pipe"])
def test_what_is_no_file_is_never_replaced(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    path = (tmp_path / name).resolve()
    with pytest.raises(UsageError, match=f"cannot write {path}: it is not a file"):
        write_whole(path, [b"text"])
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none/x", "No such file"), ("file/x", "Not a directory"), ("a" * 300, "File name too long")],
)
def test_where_nothing_can_be_written(tmp_path, name, reason):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match=reason):
        write_whole(tmp_path / name, [b"text"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_is_replaced_whole_and_is_its_owners_alone(tmp_path):
    file = tmp_path / "state.yaml"
    file.write_text("old and longer")
    file.chmod(0o644)
    write_whole(file, [b"ne", b"w\n"])
    assert file.read_text() == "new\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.yaml"]


def test_a_file_is_its_owners_alone_from_the_first_byte(tmp_path):
    modes: list[int] = []

    def parts():
        for _ in range(2):
            modes.extend(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir())
            yield b"secret"

    mask = os.umask(0)
    try:
        write_whole(tmp_path / "state.yaml", parts())
    finally:
        os.umask(mask)
    assert modes == [0o600, 0o600]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a link that is another user's")
@pytest.mark.parametrize("place", ["file", "directory/file"])
def test_no_link_of_somebody_else_is_followed(tmp_path, place):
    shared, aim = tmp_path / "shared", tmp_path / "aim"
    shared.mkdir()
    shared.chmod(0o1777)
    aim.mkdir()
    link = shared / place.partition("/")[0]
    link.symlink_to(aim / "kept" if place == "file" else aim)
    name = str(shared / place)
    assert output_path(name) == aim / ("kept" if place == "file" else "file")  # a link of one's own
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(UsageError, match=f"cannot write {name}: {link} is a link of another user"):
        output_path(name)
    shared.chmod(0o755)
    assert output_path(name).parent == aim, "in a directory of one's own it is one's own"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a link that is another user's")
def test_a_link_that_is_made_while_links_are_looked_for_is_not_followed(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    look = os.lstat

    def look_too_early(path):
        try:
            return look(path)
        finally:
            if str(path) == str(shared / "file") and not (shared / "file").is_symlink():
                (shared / "file").symlink_to(tmp_path / "aim")
                os.chown(shared / "file", 65534, 65534, follow_symlinks=False)

    monkeypatch.setattr(os, "lstat", look_too_early)
    path = output_path(str(shared / "file"))
    assert path == shared / "file"
    write_whole(path, [b"secret"])
    assert (shared / "file").read_bytes() == b"secret" and not (tmp_path / "aim").exists()
