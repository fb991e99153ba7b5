import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from lmaps.errors import StateUnusable
from lmaps.model.states import ChangesetKind
from lmaps.store import Document, Edit, Origin, open_store, replay
from lmaps.store.migrate import known_revisions, migrations_directory


@pytest.fixture
def connection(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'm.db'}", poolclass=NullPool)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def config(connection):
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(migrations_directory()))
    return made


def test_models_equal_migrations_and_there_is_one_head(config):
    command.upgrade(config, "head")
    command.check(config)
    assert len(known_revisions()) == len(list((migrations_directory() / "versions").glob("*.py")))


def test_a_new_state_has_the_tables_that_the_migrations_make(config, connection, tmp_path):
    command.upgrade(config, "head")
    open_store(str(tmp_path / "new.db")).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "new.db")) as new:
        made = dict(new.execute("SELECT name, sql FROM sqlite_master").fetchall())
        mark = new.execute("SELECT * FROM alembic_version").fetchall()
    wanted = dict(map(tuple, connection.exec_driver_sql("SELECT name, sql FROM sqlite_master").all()))
    assert {name: _parts(sql) for name, sql in made.items()} == {name: _parts(sql) for name, sql in wanted.items()}
    assert mark == connection.exec_driver_sql("SELECT * FROM alembic_version").all() == [(known_revisions()[-1],)]


def _parts(sql: str | None) -> list[str]:
    """The columns and constraints of a table; a constraint may stand behind its column, or behind all."""
    return sorted(re.split(r"\s*,\s*|\s+(?=CONSTRAINT)", re.sub(r"\s+", " ", sql or "")))


def test_up_down_up(config, connection):
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    assert set(tables) <= {"alembic_version", "sqlite_sequence"}
    command.upgrade(config, "head")


def test_the_redo_list_of_the_first_tables_is_kept(config, connection, tmp_path):
    """Three creations, two of them rolled back: what redo brings is the same after the upgrade."""
    command.upgrade(config, "0001")
    connection.exec_driver_sql("INSERT INTO unit VALUES (1, 'web', 'd', '{}')")
    changesets = [
        (1, "create", None, 1, None, None, None),
        (2, "create", None, 2, 1, None, None),
        (3, "create", None, 3, 2, None, None),
        (4, "rollback", 3, 2, None, 4, None),
        (5, "rollback", 2, 1, None, 5, 4),
    ]
    for revision, kind, target, *ends in changesets:
        connection.exec_driver_sql(
            "INSERT INTO changeset (revision, unit, kind, author, door, at, target,"
            " line_end, line_previous, redo_end, redo_previous) VALUES (?, 'web', ?, 'me', 'api', 't', ?, ?, ?, ?, ?)",
            (revision, kind, target, *ends),
        )
        key = "abc"[(target or revision) - 1]
        document, nothing = (key, f'"{key}"', f'"{key}"', 1), (None, None, None, None)
        before, after = (nothing, document) if target is None else (document, nothing)
        connection.exec_driver_sql(
            "INSERT INTO change VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (revision, "abc".index(key) + 1, "abc".index(key) + 1, *before, *after),
        )
    connection.exec_driver_sql("INSERT INTO instance VALUES (1, 'web', 'a', '\"a\"', '\"a\"', 1, 1, 1)")
    connection.exec_driver_sql(
        "INSERT INTO request (key, digest, verb, unit, at, answer, revision) VALUES ('k', 'd', 'create', 'web', 't', '{}', 1)"
    )
    connection.commit()
    connection.close()
    with open_store(str(tmp_path / "m.db")) as store, store.transaction() as tx:
        assert (replay(tx), tx.history.redoable("web")) == (5, [2, 3])
        assert [len(tx.history.changes(revision)) for revision in range(1, 6)] == [1] * 5
        assert tx.requests.find("k").answer == "{}"
        assert [tx.changesets.redo("web", Origin("me")).target for _ in range(2)] == [2, 3]
        assert "".join(each.key for each in tx.instances.all("web")) == "abc"
        assert tx.changesets.redo("web", Origin("me")) is None
        assert replay(tx) == 7


def test_a_newer_database_is_refused_untouched(tmp_path):
    path = tmp_path / "new.db"
    open_store(str(path)).close()
    with sqlite3.connect(path) as driver:
        driver.execute("UPDATE alembic_version SET version_num = 'ffff'")
    driver.close()
    before = path.read_bytes()
    with pytest.raises(StateUnusable, match=f"revision ffff.*knows up to {known_revisions()[-1]}"):
        open_store(str(path))
    assert path.read_bytes() == before


def test_an_older_database_is_copied_and_upgraded(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    with open_store(str(path)) as store, store.transaction() as tx:
        document = Document("a", "{}", "{}", tx.instances.definition("web", "d", "{}"))
        tx.changesets.record("web", ChangesetKind.CREATE, Origin("me"), [Edit(None, document)])
    newer, head = tmp_path / "migrations", known_revisions()[-1]
    _copy_with_one_more(migrations_directory(), newer)
    monkeypatch.setattr("lmaps.store.migrate.migrations_directory", lambda: newer)
    with open_store(str(path)) as store, store.transaction() as tx:
        assert tx.instances.count("web") == 1
    [backup] = tmp_path.glob(f"old.db.{head}.*.backup")
    assert backup.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(backup) as driver:
        assert driver.execute("SELECT count(*) FROM instance").fetchone() == (1,)
    driver.close()


def _copy_with_one_more(source: Path, target: Path) -> None:
    for file in [*source.glob("*.py"), *source.glob("*.mako"), *source.glob("versions/*.py")]:
        (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (target / file.relative_to(source)).write_text(file.read_text())
    head = known_revisions()[-1]
    (target / "versions" / "9999_more.py").write_text(
        f'from alembic import op\nrevision = "9999"\ndown_revision = "{head}"\n'
        'def upgrade():\n    op.execute("CREATE TABLE more (x)")\ndef downgrade():\n    op.execute("DROP TABLE more")\n'
    )


def test_a_failing_migration_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    open_store(str(path)).close()
    newer = tmp_path / "migrations"
    _copy_with_one_more(migrations_directory(), newer)
    failing = newer / "versions" / "9999_more.py"
    failing.write_text(re.sub(r"\(x\)\"\)", '(x)"); raise RuntimeError("half way")', failing.read_text()))
    monkeypatch.setattr("lmaps.store.migrate.migrations_directory", lambda: newer)
    with pytest.raises(RuntimeError, match="half way"):
        open_store(str(path))
    monkeypatch.undo()
    open_store(str(path)).close()
    with sqlite3.connect(path) as driver:
        assert driver.execute("SELECT name FROM sqlite_master WHERE name = 'more'").fetchone() is None
    driver.close()
