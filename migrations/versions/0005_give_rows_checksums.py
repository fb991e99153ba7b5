"""Give every row of the state a checksum."""

import zlib

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = {
    "unit": "name, digest, definition",
    "changeset": "revision, unit, kind, author, on_behalf_of, door, message, ticket, at, request_key, target,"
    " line_end, line_previous, redo_end",
    "document": "id, instance_id, key, given, completed, definition",
    "change": "revision, instance_id, first_revision, before_document, after_document",
    "instance": "id, unit, key, document, first_revision, revision",
    "horizon": "unit, revision",
    "job": "id, unit, kind, revision, digest, state, rc, summary, error, author, on_behalf_of, door, message, ticket,"
    " request_key, queued_at, started_at, ended_at, boot_id, slot, pid, token, covered_by, previous_revision,"
    " confirm_deadline, confirm_boot_deadline, timeout, confirm_within, confirmation, host_boot, undoes, repeats",
    "request": "key, digest, verb, unit, at, answer, revision",
}


def checksum(*values):
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


def upgrade():
    op.get_bind().connection.driver_connection.create_function("checksum", -1, checksum, deterministic=True)
    for table, columns in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER DEFAULT '0' NOT NULL")
        op.execute(f"UPDATE {table} SET checksum = checksum({columns})")  # noqa: S608 (names of our own)


def downgrade():
    for table in COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
