"""The store: the only rooms that know SQLAlchemy, run by the manager alone.

models       the tables
records      rows as frozen values
engine       all that is SQLite's alone
migrate      bring a database to this version
store        Store: one database, one connection
transaction  Transaction: what is read and written within one commit
"""

from lmaps.store.records import Change, Changeset, Instance, Job, JobLine, StoredRequest, Why
from lmaps.store.store import Store, open_store
from lmaps.store.transaction import Transaction

__all__ = [
    "Change",
    "Changeset",
    "Instance",
    "Job",
    "JobLine",
    "Store",
    "StoredRequest",
    "Transaction",
    "Why",
    "open_store",
]
