"""Make the checksums of rows anew, for migrations that change a table's columns. A migration loads this file so:

    from pathlib import Path
    from alembic.util import load_python_file

    checksums = load_python_file(Path(__file__).parents[1], "checksums.py")


    def upgrade():
        op.add_column("changeset", sa.Column("reason", sa.Text(), nullable=True))
        checksums.recompute(op.get_bind(), "changeset")

It is loaded by its path, since the directory is ``migrations`` in a checkout and ``lmaps/migrations`` in a package. It
reads the columns from the database, and not from the models: a migration runs with the models of later versions too.
"""

import zlib

NUMBERED_BY_SQLITE = {"unit": "id"}
"""The column of a table that no checksum covers, as SQLite gives its value when the row is written."""


def checksum(*values):
    """Return the CRC-32 of the values of a row, given in the order of its columns."""
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


def recompute(connection, table):
    """Give each row of ``table`` the checksum of the columns that it has now."""
    connection.connection.driver_connection.create_function("checksum", -1, checksum, deterministic=True)
    uncovered = ("checksum", NUMBERED_BY_SQLITE.get(table))
    columns = connection.exec_driver_sql("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,)).scalars()
    covered = ", ".join(f'"{column}"' for column in columns if column not in uncovered)
    connection.exec_driver_sql(f'UPDATE "{table}" SET checksum = checksum({covered})')  # noqa: S608 (our own names)
