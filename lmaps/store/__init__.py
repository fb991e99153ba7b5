"""The store: the only room that knows SQLAlchemy; only the manager writes through it.

store         `Store`: one database, one connection
transaction   `Transaction`: what is read and written within one commit, by table
session       the connection, and what the tables share: counters, cache, disk, time

instances     the instances that exist now
snapshots     units as a whole: now, or at a revision
history       changesets and changes, read
changesets    changes recorded, undone, dropped
unique_index  which instances have which value
jobs          runs of handlers and their output
requests      answers to requests that changed something
content_key   the random key under which digests are made of what may have secrets
audit         who asked for what

models        the tables
rows          their rows as named tuples
statements    statements that are compiled once
checksums     checksums of rows
encryption    sealed documents
dialects      what concerns one database system alone
migrate       bring a database to this version
backup        verify and restore
replay        make the instances anew from the changesets, and compare
"""

from lmaps.store.dialects.sqlite import DATABASE_ERRORS, sqlite_version
from lmaps.store.encryption import KeySealer, Sealer, read_key
from lmaps.store.migrate import load_migrations
from lmaps.store.replay import replay
from lmaps.store.rows import (
    AuditEntry,
    Change,
    Changeset,
    Document,
    Edit,
    Instance,
    InstanceTexts,
    Job,
    JobLine,
    Origin,
    Page,
    StoredRequest,
    Undo,
)
from lmaps.store.store import Store, open_store
from lmaps.store.transaction import Transaction

__all__ = [
    "DATABASE_ERRORS",
    "AuditEntry",
    "Change",
    "Changeset",
    "Document",
    "Edit",
    "Instance",
    "InstanceTexts",
    "Job",
    "JobLine",
    "KeySealer",
    "Origin",
    "Page",
    "Sealer",
    "Store",
    "StoredRequest",
    "Transaction",
    "Undo",
    "load_migrations",
    "open_store",
    "read_key",
    "replay",
    "sqlite_version",
]
