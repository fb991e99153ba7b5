"""Checksums of rows: a byte that the disk has changed is told, and not taken for what was written.

Output of jobs and the audit have none: nothing follows from them.
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
    """The columns that the checksum of a row is made of."""
    return tuple(column.name for column in table.c if column.name != "checksum" and not column.info)


def checksum(values: Sequence[Any]) -> int:
    """The CRC-32 of the values of a row."""
    return zlib.crc32(repr(tuple(values)).encode("utf-8", "surrogatepass"))


def signed(table: Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a row as they are written: of its `covered` columns, and its checksum."""
    values = tuple(map(row.get, covered(table)))
    return (*values, checksum(values))


def check(table: str, values: Sequence[Any], expected: int) -> None:
    """`StateDamaged` unless the values of a row fit its checksum."""
    if checksum(values) != expected:
        raise StateDamaged(f"cannot rely on the database: a row of {table} is damaged")


def checked(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    """A whole row of ``table`` that fits its checksum, without it."""
    told = dict(zip(table.c.keys(), row, strict=True))
    expected = told.pop("checksum")
    check(table.name, [told[name] for name in covered(table)], expected)
    return told


def check_rows(connection: Connection) -> None:
    """`StateDamaged` if any row of the state does not fit its checksum."""
    for table in metadata.sorted_tables:
        if "checksum" in table.c:
            for row in connection.execute(select(table)):
                checked(table, row)
