"""Statements whose text is made once, when they are first run: SQLAlchemy makes it, the driver runs it.

To build and compile a statement takes SQLAlchemy ten times as long as SQLite takes to run it. So what every request
needs is a constant of its module; a statement that depends on the request is left to SQLAlchemy.
"""

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, Generic, Self, TypeVar

from sqlalchemy import ClauseElement, Compiled, Select, Table, bindparam, insert
from sqlalchemy.dialects import sqlite

from lmaps.store.checksums import covered

_NAMED = sqlite.dialect(paramstyle="named")
_POSITIONAL = sqlite.dialect(paramstyle="qmark")

Row = TypeVar("Row", bound=tuple[Any, ...])


class Prepared:
    """A statement that takes values by name where it has a `bindparam`."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._join = "JOIN"

    def in_this_order(self) -> Self:
        """Have SQLite join the tables in the order in which the statement names them, and return the statement."""
        self._join = "CROSS JOIN"  # SQLite's planner never reorders a CROSS JOIN
        return self

    @cached_property
    def _compiled(self) -> Compiled:
        # Not in the constructor: a start of the daemon runs few of its statements, and would compile all.
        return self._statement.compile(dialect=_NAMED)

    @cached_property
    def text(self) -> str:
        """The statement as SQLite reads it."""
        return self._compiled.string.replace("JOIN", self._join)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The values of parameters that the statement itself has; who runs it may give others."""
        return {name: value for name, value in self._compiled.params.items() if value is not None}


class Query(Prepared, Generic[Row]):
    """A prepared SELECT whose rows are named tuples.

    Raises TypeError, when its module is imported, if the fields of ``row`` are not the columns in their order: then
    the value of one column would be read as another's.
    """

    def __init__(self, statement: Select[Any], row: type[Row]) -> None:
        super().__init__(statement)
        self.row = row
        _expect_fields(row, statement.selected_columns.keys(), "the query")


class Insertion:
    """Inserts named tuples into a table, each with its checksum.

    Raises TypeError, when its module is imported, if the fields of ``row`` are not the table's columns in their order:
    then a field that was moved would be written into another column, with a checksum that fits.
    """

    def __init__(self, table: Table, row: type[tuple[object, ...]]) -> None:
        _expect_fields(row, covered(table), f"the table {table.name}")
        self._table = table

    @cached_property
    def text(self) -> str:
        """The statement, which takes the fields of a row and then its checksum, by position."""
        return insertion(self._table, (*covered(self._table), "checksum"))


def _expect_fields(row: type[tuple[object, ...]], columns: Sequence[str], of: str) -> None:
    fields: tuple[str, ...] = getattr(row, "_fields", ())
    if fields != tuple(columns):
        raise TypeError(f"the fields of {row.__name__} {fields} are not the columns of {of} {tuple(columns)}")


@cache
def insertion(table: Table, columns: Sequence[str]) -> str:
    """Return the INSERT of these ``columns``, which takes their values by position.

    Raises ValueError if they are not in the table's order, which is the order that SQLAlchemy writes them in.
    """
    compiled = insert(table).values({name: bindparam(name) for name in columns}).compile(dialect=_POSITIONAL)
    if compiled.positiontup != list(columns):
        raise ValueError(f"the columns {columns} are not in the order of {table.name}")
    return compiled.string
