"""`Prepared`: statements whose text is made once, when it is first asked for. SQLAlchemy makes it, the driver runs it.

To make and compile a statement takes SQLAlchemy ten times as long as it takes SQLite to run it: what every request
needs is a constant of its module, and what depends on what is asked for is left to SQLAlchemy.
"""

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, Self

from sqlalchemy import ClauseElement, Compiled, Table, bindparam, insert
from sqlalchemy.dialects import sqlite

_DIALECT = sqlite.dialect(paramstyle="named")
_IN_ORDER = sqlite.dialect(paramstyle="qmark")


class Prepared:
    """``statement``, which takes values where it says `bindparam`, by their names."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._join = "JOIN"

    def in_this_order(self) -> Self:
        """The same with its tables joined in the order in which they stand, whatever SQLite thinks of it."""
        self._join = "CROSS JOIN"
        return self

    @cached_property
    def _compiled(self) -> Compiled:
        """What SQLAlchemy makes of it, when it is first run: a start runs few."""
        return self._statement.compile(dialect=_DIALECT)

    @cached_property
    def text(self) -> str:
        """The statement as SQLite reads it."""
        return self._compiled.string.replace("JOIN", self._join)

    @cached_property
    def _values(self) -> dict[str, Any]:
        return {name: value for name, value in self._compiled.params.items() if value is not None}

    def values(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the driver is to bind."""
        return self._values | given if self._values else given


@cache
def insertion(table: Table, names: Sequence[str]) -> str:
    """The statement that writes these columns of a new row, and takes their values in this order: the table's."""
    compiled = insert(table).values({name: bindparam(name) for name in names}).compile(dialect=_IN_ORDER)
    if compiled.positiontup != list(names):
        raise ValueError(f"the columns {names} are not in the order of {table.name}")
    return compiled.string
