"""`Prepared`: statements whose text is made once. SQLAlchemy makes it, the driver runs it.

To make and compile a statement takes SQLAlchemy ten times as long as it takes SQLite to run it: what every request
needs is a constant of its module, and what depends on what is asked for is left to SQLAlchemy.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Self

from sqlalchemy import ClauseElement, Table, bindparam, insert
from sqlalchemy.dialects import sqlite

_DIALECT = sqlite.dialect(paramstyle="named")
_IN_ORDER = sqlite.dialect(paramstyle="qmark")


class Prepared:
    """``statement``, which takes values where it says `bindparam`, by their names."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self.text = compiled.string
        self._values = {name: value for name, value in compiled.params.items() if value is not None}

    def in_this_order(self) -> Self:
        """The same with its tables joined in the order in which they stand, whatever SQLite thinks of it."""
        self.text = self.text.replace("JOIN", "CROSS JOIN")
        return self

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
