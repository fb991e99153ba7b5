"""Checksums of rows: a byte that the disk has changed is reported, and not taken for what was written.

Lines of jobs and the audit have none: no other data depends on them.
"""

import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, select

from lmaps.errors import StateDamaged
from lmaps.store.models import metadata


@cache
def covered(table: Table) -> tuple[str, ...]:
    """Return the columns that the checksum of a row is made of."""
    # A number that SQLite gives is known only after the row was written, too late for its checksum.
    return tuple(column.name for column in table.c if column.name != "checksum" and not column.info)


def checksum(values: tuple[object, ...]) -> int:
    """Return the CRC-32 of the values of a row."""
    # Not repr(values): that of a named tuple has its name and its fields. surrogatepass: damage can leave bytes in a
    # text that are read as lone surrogates.
    return zlib.crc32(tuple.__repr__(values).encode("utf-8", "surrogatepass"))


def signed(table: Table, row: Mapping[str, object]) -> tuple[object, ...]:
    """Return the values of a row's `covered` columns, and its checksum. Columns that ``row`` has not are NULL."""
    values = tuple(map(row.get, covered(table)))
    return (*values, checksum(values))


def check(table: str, values: tuple[object, ...], expected: int) -> None:
    """Raise `StateDamaged` unless the values of a row fit its checksum."""
    if checksum(values) != expected:
        raise StateDamaged(f"cannot rely on the database: a row of {table} is damaged")


def checked(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    """Return a whole row of ``table`` by column, without its checksum; `StateDamaged` if it does not fit that."""
    columns = dict(zip(table.c.keys(), row, strict=True))
    expected = columns.pop("checksum")
    check(table.name, tuple(columns[name] for name in covered(table)), expected)
    return columns


def check_rows(connection: Connection) -> None:
    """Raise `StateDamaged` if any row of the database does not fit its checksum."""
    for table in metadata.sorted_tables:
        if "checksum" in table.c:
            for row in connection.execute(select(table)):
                checked(table, row)
