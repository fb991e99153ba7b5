"""The store: the only rooms that know SQLAlchemy, run by the manager alone.

models       the tables
checksums    what tells a damaged row
records      rows as frozen values
engine       all that is SQLite's alone
migrate      bring a database to this version
store        Store: one database, one connection
transaction  Transaction: what is read and written within one commit
instances    what is there now
joined       what is there now, as one text
history      what was done, and what was there before
values       which instances have which value
changing     changes, and how they are undone
jobs         runs of handlers
requests     what was answered under which key
audit        who asked for what
keeping      backups, verified and restored
sealing      documents with secrets, sealed under a key
replay       the instances made anew from the changesets, and compared
"""

from lmaps.store.dialects.sqlite import DATABASE_ERRORS, sqlite_version
from lmaps.store.encryption import Sealer, read_key
from lmaps.store.migrate import load_migrations
from lmaps.store.replay import replay
from lmaps.store.rows import (
    Audited,
    Change,
    Changeset,
    Document,
    Edit,
    Instance,
    Job,
    JobLine,
    Origin,
    Page,
    StoredRequest,
    Texts,
)
from lmaps.store.store import Store, open_store
from lmaps.store.transaction import Transaction

__all__ = [
    "DATABASE_ERRORS",
    "Audited",
    "Change",
    "Changeset",
    "Document",
    "Edit",
    "Instance",
    "Job",
    "JobLine",
    "Origin",
    "Page",
    "Sealer",
    "Store",
    "StoredRequest",
    "Texts",
    "Transaction",
    "load_migrations",
    "open_store",
    "read_key",
    "replay",
    "sqlite_version",
]
