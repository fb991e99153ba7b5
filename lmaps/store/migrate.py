"""Bring a database to the tables of this version: as a whole or not at all, after a backup, when the manager starts."""

import logging
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table

from lmaps.errors import StateDamaged, StateUnusable
from lmaps.store.dialects.sqlite import copy_database, make_engine, no_progress
from lmaps.store.models import metadata
from lmaps.util import times
from lmaps.util.failpoints import failpoint
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    from alembic import command, config
else:
    # Alembic takes 130 ms, and only an upgrade needs it.
    command, config = LazyModule("alembic.command"), LazyModule("alembic.config")

log = logging.getLogger(__name__)

_REVISION = re.compile(r"""^(revision|down_revision)\b[^=]*=\s*(?:["'](\w+)["']|None)""", re.MULTILINE)

_ALEMBIC_VERSION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""The table in which Alembic records which migrations were run."""


def migrations_directory() -> Path:
    """Return the directory of the migrations: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for directory in (package / "migrations", package.parent / "migrations"):
        if (directory / "env.py").is_file():
            return directory
    raise StateUnusable("cannot find the migrations: lMaPS is not installed as a whole")


def known_revisions() -> list[str]:
    """Return the revisions of the tables, oldest first, read from the migrations without importing Alembic."""
    previous: dict[str | None, str] = {}
    for path in (migrations_directory() / "versions").glob("*.py"):
        names = {name: value or None for name, value in _REVISION.findall(path.read_text())}
        previous[names["down_revision"]] = str(names["revision"])
    ordered: list[str] = []
    while (following := previous.get(ordered[-1] if ordered else None)) is not None:
        ordered.append(following)
    return ordered


def migrate(path: str, progress: Callable[[], None] = no_progress, *, existed: bool = False) -> None:
    """Upgrade the database at ``path``, or make its tables if it is empty.

    Raises `StateUnusable`, and leaves the file as it is, if it was written by a newer lMaPS or by another program;
    `StateDamaged` if it is empty and its tables ``existed`` before.
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
    """Return the revision of the database's tables, None if there are none."""
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
    """Make the tables as the migrations up to ``revision`` leave them.

    Without Alembic, which takes 25 MB and 0.12 s of a start; a test compares both.
    """
    with connection.begin():
        metadata.create_all(connection)
        _ALEMBIC_VERSION.create(connection)
        connection.execute(_ALEMBIC_VERSION.insert().values(version_num=revision))
        failpoint("migrate.step")


def load_migrations() -> None:
    """Import what an upgrade needs, for a process that cannot read the code once it has become another user."""
    for name in ("alembic.command", "alembic.config"):
        import_module(name)


def _upgrade(connection: Connection) -> None:
    settings = config.Config(attributes={"connection": connection})
    settings.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    with connection.begin():
        command.upgrade(settings, "head")
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise StateUnusable(f"cannot upgrade the database: {len(broken)} rows would lose what they refer to")
