"""Bring a database to this version's tables: all of it or nothing, after a backup. The manager does it at its start."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table

from lmaps.errors import StateDamaged, StateUnusable
from lmaps.store.dialects.sqlite import copy_database, make_engine, nothing
from lmaps.store.models import metadata
from lmaps.util import times
from lmaps.util.failpoints import failpoint

log = logging.getLogger(__name__)

_REVISION = re.compile(r"""^(revision|down_revision)\b[^=]*=\s*(?:["'](\w+)["']|None)""", re.MULTILINE)

_MARK = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Where Alembic finds which migrations were done."""


def migrations_directory() -> Path:
    """Where the migrations lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for directory in (package / "migrations", package.parent / "migrations"):
        if (directory / "env.py").is_file():
            return directory
    raise StateUnusable("cannot find the migrations: lMaPS is not installed as a whole")


def known_revisions() -> list[str]:
    """The revisions of the tables, oldest first, read without importing Alembic."""
    previous: dict[str | None, str] = {}
    for path in (migrations_directory() / "versions").glob("*.py"):
        found = {name: value or None for name, value in _REVISION.findall(path.read_text())}
        previous[found["down_revision"]] = str(found["revision"])
    ordered: list[str] = []
    while (following := previous.get(ordered[-1] if ordered else None)) is not None:
        ordered.append(following)
    return ordered


def migrate(path: str, progress: Callable[[], None] = nothing, *, existed: bool = False) -> None:
    """Upgrade the database at ``path``, or make its tables unless they ``existed`` once.

    Raises `StateUnusable`, the file untouched, if it was written by a newer lMaPS or is not ours.
    """
    engine = make_engine(path, migrating=True, progress=progress)
    try:
        with engine.connect() as connection:
            known = known_revisions()
            current = _current(connection)
            connection.rollback()
            if current == known[-1]:
                return
            if current is None and existed:
                raise StateDamaged(f"cannot use the database {path}: it is empty, and there was a state in it")
            if current is not None and current not in known:
                raise StateUnusable(
                    f"cannot use the database {path}: its tables are of revision {current}, this lMaPS knows up to "
                    f"{known[-1]}; install the version that wrote it, or a newer one"
                )
            if current is None:
                _make(connection, known[-1])
            else:
                _backup(connection, path, current)
                _upgrade(connection)
    finally:
        engine.dispose()


def _current(connection: Connection) -> str | None:
    """The revision of the database's tables, None if there are none."""
    tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StateUnusable("cannot use the database: its tables are not those of lMaPS")
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def _backup(connection: Connection, path: str, revision: str) -> None:
    target = f"{path}.{revision}.{times.now().replace(':', '')}.backup"
    copy_database(connection, target)
    failpoint("migrate.backup")
    log.info("before the upgrade the database was copied to %s", target)


def _make(connection: Connection, revision: str) -> None:
    """Make the tables as the migrations up to ``revision`` leave them: Alembic takes 25 MB and 0.12 s of a start."""
    with connection.begin():
        metadata.create_all(connection)
        _MARK.create(connection)
        connection.execute(_MARK.insert().values(version_num=revision))
        failpoint("migrate.step")


def load_migrations() -> None:
    """Import what an upgrade takes, so that it can be done by a process that can read no code any more."""
    import alembic.command  # noqa: PLC0415 (130 ms that only an upgrade has to pay)
    import alembic.config  # noqa: F401, PLC0415


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 (as above)
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    with connection.begin():
        command.upgrade(config, "head")
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise StateUnusable(f"cannot upgrade the database: {len(broken)} rows would lose what they refer to")
