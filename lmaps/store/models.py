"""The tables. Documents are stored as JSON text just as they came, so that what is read is what was written.

``changeset``, ``change`` and ``document`` are the truth, and append-only; ``instance`` follows from them. Times are
RFC 3339. ``checksum`` is that of the row's other columns, but for those that SQLite numbers itself.

The order of the columns is that of the named tuples in rows.py: a new column comes last in both.
"""

from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from lmaps.model.states import ChangesetKind, ConfirmationState, JobState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


def _checksum() -> Column[int]:
    return Column("checksum", Integer, nullable=False, server_default="0")


BY_SQLITE = {"numbered": "by SQLite"}
"""Marks a column that no checksum covers, as SQLite gives its value when the row is written."""

in_memory = MetaData(schema="memory")
"""Tables in the memory of the connection, beside the database; a new connection begins with empty ones."""

unit = Table(
    "unit",
    metadata,
    Column("id", Integer, primary_key=True, info=BY_SQLITE),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("definition", Text, nullable=False),
    _checksum(),
    UniqueConstraint("name", "digest"),
)
"""Every text of a unit that changes were made under, in the JSON form of the unit's file."""

changeset = Table(
    "changeset",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=True),
    Column("unit", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("door", Text, nullable=False),
    Column("message", Text),
    Column("ticket", Text),
    Column("at", Text, nullable=False),
    Column("request_key", Text),
    Column("target", Integer),
    Column("line_end", Integer),
    Column("line_previous", Integer),
    Column("redo_end", Integer),
    _checksum(),
    _one_of("kind", ChangesetKind),
    Index(None, "unit", "revision"),
    sqlite_autoincrement=True,
)
"""One recorded change of one unit.

``line_end`` is the end of the unit's line after it, ``line_previous`` its predecessor on the line: so lines are paths
that share their beginnings, and undo need not walk the history. ``redo_end`` is the newest changeset that redo can
bring back: the redo list is the path from ``line_end`` to it. ``target`` is the revision that the changeset undoes,
brings back or returns to.
"""

document = Table(
    "document",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("given", Text, nullable=False),
    Column("completed", Text, nullable=False),
    Column("definition", Integer, ForeignKey("unit.id"), nullable=False),
    _checksum(),
)
"""The content of an instance, now or once: stored once, however often changes remove it and bring it back."""

change = Table(
    "change",
    metadata,
    Column("revision", Integer, ForeignKey("changeset.revision"), nullable=False),
    Column("instance_id", Integer, nullable=False),
    Column("first_revision", Integer, nullable=False),
    Column("before_document", Integer),
    Column("after_document", Integer),
    _checksum(),
    PrimaryKeyConstraint("revision", "instance_id"),
    Index(None, "instance_id", "revision"),
    sqlite_with_rowid=False,
)
"""What a changeset did to one instance: its document before and after, NULL where it did not exist."""

instance = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("document", Integer, nullable=False),
    Column("first_revision", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    _checksum(),
    UniqueConstraint("unit", "key"),
)
"""The instances that exist now. ``id`` counts creations: an undone deletion comes back at its old place."""

horizon = Table(
    "horizon",
    metadata,
    Column("unit", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)
"""The newest changeset of a unit that was dropped because it was old: from there on its states are known."""

content_key = Table(
    "content_key",
    metadata,
    Column("key", Text, primary_key=True),
    _checksum(),
    sqlite_with_rowid=False,
)
"""One row: the random key, in hex and sealed where secrets are, under which digests are made of what may have them."""

job = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("unit", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("rc", Integer),
    Column("summary", Text),
    Column("error", Text),
    Column("author", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("door", Text, nullable=False),
    Column("message", Text),
    Column("ticket", Text),
    Column("request_key", Text),
    Column("queued_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    Column("boot_id", Text),
    Column("slot", Integer),
    Column("pid", Integer),
    Column("token", Text),
    Column("covered_by", Integer, ForeignKey("job.id")),
    Column("previous_revision", Integer),
    Column("confirm_deadline", Text),
    Column("confirm_boot_deadline", Integer),
    Column("timeout", Float),
    Column("confirm_within", Float),
    Column("confirmation", Text),
    Column("host_boot", Text),
    Column("undoes", Integer),
    Column("repeats", Integer),
    _checksum(),
    _one_of("state", JobState),
    _one_of("confirmation", ConfirmationState),
    Index(None, "confirmation", sqlite_where=text("confirmation IS NOT NULL")),
    Index(None, "unit"),
    Index(None, "unit", "state"),
    Index(None, "state"),
    sqlite_autoincrement=True,
)
"""Runs of handlers. ``boot_id`` is the start of the daemon that it ran under, ``token`` the one run in its slot.

``timeout`` and ``confirm_within`` are seconds. ``confirm_boot_deadline`` is in milliseconds since the start of the host
that ``host_boot`` names: the clock of the wall may be set while a confirmation is awaited. ``undoes`` is the job that
this one undoes, ``repeats`` the interrupted one that it repeats.
"""

job_line = Table(
    "job_line",
    metadata,
    Column("job", Integer, ForeignKey("job.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("event", Text),
    PrimaryKeyConstraint("job", "number"),
    sqlite_with_rowid=False,
)
"""Output and events of jobs, numbered from 1."""

request = Table(
    "request",
    metadata,
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("unit", Text),
    Column("at", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("revision", Integer),
    _checksum(),
)
"""The answer to a request that changed something, under the key that the client gave the request."""

audit = Table(
    "audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("at", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("door", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("unit", Text),
    Column("request_key", Text),
    Column("revision", Integer),
    Column("job", Integer),
    Column("outcome", Text, nullable=False),
    Column("suppressed", Integer, nullable=False),
    sqlite_autoincrement=True,
)
"""Requests that changed or revealed something, or were denied.

``outcome`` is ``ok`` or the code of the error. ``suppressed`` is how many denials of the subject were not recorded
before this one, because there were too many.
"""

indexed_path = Table(
    "path",
    in_memory,
    Column("id", Integer, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("pointer", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("until", Integer, nullable=False),
    UniqueConstraint("unit", "pointer"),
)
"""A path whose values are indexed, as they were at ``revision``, of the instances up to the number ``until``."""

indexed_value = Table(
    "value",
    in_memory,
    Column("path", Integer, nullable=False),
    Column("digest", Integer, nullable=False),
    Column("instance", Integer, nullable=False),
    PrimaryKeyConstraint("path", "digest", "instance"),
    sqlite_with_rowid=False,
)
"""Which instance has a value with which hash at the path. An instance whose value is null has no row."""
