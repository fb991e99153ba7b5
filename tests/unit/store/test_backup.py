"""Backups: what is verified, what is refused, and what a restore leaves in which place."""

import hashlib
import os
from pathlib import Path

import pytest

from lmaps.errors import StateUnusable
from lmaps.model.states import ChangesetKind, JobKind
from lmaps.store import Document, Edit, Origin, backup, open_store
from tests.databases import rewrite

WHY = Origin("me")


def create(path, *keys):
    with open_store(str(path)) as store:
        for key in keys:
            with store.transaction() as tx:
                document = Document(key, f'"{key}"', f'"{key}"', tx.instances.definition("web", "d", "{}"))
                tx.changesets.record("web", ChangesetKind.CREATE, WHY, [Edit(None, document)])


def back_up(path, target):
    with open_store(str(path)) as store:
        store.copy_to(str(target))
    return target


def told(path):
    with open_store(str(path)) as store, store.transaction() as tx:
        rows = tx.history.changesets("web")
        return "".join(each.key for each in tx.instances.all("web")), [(row.revision, row.kind) for row in rows][::-1]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_a_log_that_somebody_else_has_put_beside_it_is_refused(tmp_path, ending):
    """SQLite would write the pages in it into the backup, whose checksum was right."""
    create(tmp_path / "l.db", "a")
    copy = back_up(tmp_path / "l.db", tmp_path / "b.db")
    create(tmp_path / "other.db", "x")
    with open_store(str(tmp_path / "other.db")) as store:
        with store.transaction() as tx:
            tx.changesets.rollback("web", WHY)
        log = tmp_path / f"b.db{ending}"
        log.write_bytes((tmp_path / "other.db-wal").read_bytes())
    os.chown(log, 65534, 65534)
    before = copy.read_bytes()
    with pytest.raises(StateUnusable, match=f"cannot use {copy}: {log} belongs to ") as refused:
        backup.restore(str(copy), str(tmp_path / "l.db"), "me")
    assert refused.value.hint == "remove that file; it is no part of a backup"
    assert copy.read_bytes() == before
    os.chown(copy, 65534, 65534)
    log.unlink()
    assert backup.verify(str(copy)) == 1, "whoever owns the backup decides on its content"


def sql(path, statement):
    rewrite(path, statement)


def test_a_good_one_is_verified_and_stays_as_it_is(tmp_path):
    create(tmp_path / "l.db", "a", "b")
    copy = back_up(tmp_path / "l.db", tmp_path / "b.db")
    before = copy.read_bytes(), copy.stat().st_mtime_ns
    assert backup.verify(str(copy)) == 2
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.db", "l.db", "l.db.lineage"]


def test_a_state_that_a_crash_has_left_is_verified_with_its_log(tmp_path):
    create(tmp_path / "l.db", "a")
    with open_store(str(tmp_path / "l.db")) as store:
        with store.transaction() as tx:
            tx.changesets.rollback("web", WHY)
        (tmp_path / "crash").mkdir()
        for name in ("l.db", "l.db-wal"):
            (tmp_path / "crash" / name).write_bytes((tmp_path / name).read_bytes())
    assert backup.verify(str(tmp_path / "crash" / "l.db")) == 2


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE instance SET document = 2 WHERE key = 'a'", "a row of document is damaged"),
        ("DELETE FROM instance WHERE key = 'b'", "instance 2 of web is not what its changesets make it"),
        ("UPDATE instance SET revision = 2 WHERE key = 'a'", "instance 1 of web"),
        ("DELETE FROM change WHERE revision = 1", "instance 1 of web"),
        ("UPDATE change SET after_document = 2 WHERE revision = 1", "instance 1 of web"),
        ("DELETE FROM document WHERE id = 1", "r1 has lost a document"),
        ("UPDATE change SET before_document = 1 WHERE revision = 2", "r2 changed instance 2 of web from something else"),
        ("DELETE FROM changeset WHERE revision = 1", "r2 does not fit the line of web"),
        ("UPDATE changeset SET line_previous = NULL WHERE revision = 2", "r2 does not fit the line of web"),
        ("DROP TABLE alembic_version", "it is not a database of lMaPS"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_told(tmp_path, statement, words):
    create(tmp_path / "l.db", "a", "b")
    sql(tmp_path / "l.db", statement)
    with pytest.raises(StateUnusable, match=words):
        backup.verify(str(tmp_path / "l.db"))


def test_damage_is_told(tmp_path):
    create(tmp_path / "l.db", *(f"{number:04}" for number in range(200)))
    copy = back_up(tmp_path / "l.db", tmp_path / "b.db")
    with pytest.raises(StateUnusable, match="there is no such file"):
        backup.verify(str(tmp_path / "none"))
    whole = copy.read_bytes()
    for text in (
        b"",
        b"SQLite format 3\0" + bytes(4000),
        whole[: len(whole) // 2],
        whole[:8192] + os.urandom(8192) + whole[16384:],
    ):
        copy.write_bytes(text)
        with pytest.raises(StateUnusable):
            backup.verify(str(copy))


def test_a_checksum_that_lies_beside_it_counts(tmp_path):
    create(tmp_path / "l.db", "a")
    copy = back_up(tmp_path / "l.db", tmp_path / "b.db")
    beside = tmp_path / "b.db.sha256"
    beside.write_text(f"{hashlib.sha256(copy.read_bytes()).hexdigest()}  b.db\n")
    assert backup.verify(str(copy)) == 1
    beside.write_text("0" * 64 + "  b.db\n")
    with pytest.raises(StateUnusable, match=r"its checksum is not the one in b.db.sha256"):
        backup.verify(str(copy))


def test_a_restore_goes_on_above_every_number_that_either_knew(tmp_path):
    live = tmp_path / "l.db"
    create(live, "a", "b")
    copy = back_up(live, tmp_path / "b.db")
    create(live, "c", "d", "e")
    with open_store(str(live)) as store, store.transaction() as tx:
        assert tx.jobs.add("web", JobKind.APPLY, 5, "d", WHY).id == 1
    restored = backup.restore(str(copy), str(live), "root")
    assert restored.revision == 6
    assert told(live) == ("ab", [(1, "create"), (2, "create"), (6, "restore")])
    assert told(restored.old_path)[0] == "abcde"
    with open_store(str(live)) as store, store.transaction() as tx:
        mark = tx.history.head("web")
        assert (mark.author, mark.message, mark.on_line) == ("root", "restored from b.db", False)
        assert tx.jobs.is_pending("web")
        assert tx.changesets.rollback("web", WHY).target == 2
        assert tx.jobs.add("web", JobKind.APPLY, 7, "d", WHY).id == 2
    create(live, "z")
    assert told(live)[0] == "az"
    assert backup.verify(str(live)) == 5


def test_a_restored_state_is_pending_until_it_is_applied(tmp_path):
    live = tmp_path / "l.db"
    create(live, "a")
    with open_store(str(live)) as store, store.transaction() as tx:
        tx.jobs.update(tx.jobs.add("web", JobKind.APPLY, 1, "d", WHY).id, state="succeeded")
        assert not tx.jobs.is_pending("web")
    copy = back_up(live, tmp_path / "b.db")
    backup.restore(str(copy), str(live), "root")
    with open_store(str(live)) as store, store.transaction() as tx:
        assert tx.jobs.is_pending("web")
        tx.jobs.update(tx.jobs.add("web", JobKind.APPLY, 2, "d", WHY).id, state="succeeded")
        assert not tx.jobs.is_pending("web")


def test_a_restore_where_nothing_is(tmp_path):
    create(tmp_path / "l.db", "a")
    copy = back_up(tmp_path / "l.db", tmp_path / "b.db")
    restored = backup.restore(str(copy), str(tmp_path / "new.db"), "root")
    assert (restored.old_path, told(tmp_path / "new.db")[0]) == (None, "a")


def test_a_restore_in_the_place_of_what_is_damaged(tmp_path):
    live = tmp_path / "l.db"
    create(live, "a")
    copy = back_up(live, tmp_path / "b.db")
    live.write_bytes(b"not a database at all, but long enough" * 100)
    restored = backup.restore(str(copy), str(live), "root")
    assert told(live)[0] == "a"
    assert restored.old_path is not None
    assert Path(restored.old_path).read_bytes().startswith(b"not a")


def test_a_backup_that_cannot_be_relied_on_changes_nothing(tmp_path):
    live = tmp_path / "l.db"
    create(live, "a")
    copy = back_up(live, tmp_path / "b.db")
    sql(copy, "DELETE FROM instance")
    before = live.read_bytes()
    with pytest.raises(StateUnusable):
        backup.restore(str(copy), str(live), "root")
    assert live.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.db", "l.db", "l.db.lineage"]


def test_a_restore_that_was_cut_off_is_begun_anew(tmp_path):
    live = tmp_path / "l.db"
    create(live, "a")
    copy = back_up(live, tmp_path / "b.db")
    (tmp_path / "l.db.restoring").write_text("half")
    (tmp_path / "l.db.restoring-wal").write_text("half")
    backup.restore(str(copy), str(live), "root")
    assert told(live)[0] == "a"
    assert not list(tmp_path.glob("*.restoring*"))


def test_an_older_backup_is_brought_to_this_version(tmp_path):
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    from lmaps.store.migrate import migrations_directory

    old = tmp_path / "old.db"
    engine = create_engine(f"sqlite:///{old}")
    with engine.connect() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrations_directory()))
        command.upgrade(config, "0001")
        connection.commit()
    engine.dispose()
    before = old.read_bytes()
    assert backup.verify(str(old)) == 0
    assert old.read_bytes() == before
    backup.restore(str(old), str(tmp_path / "l.db"), "root")
    assert told(tmp_path / "l.db") == ("", [])
