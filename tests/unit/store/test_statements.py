"""Rows are written and read by name: a field that is not where its column is is refused when its module is imported."""

from typing import NamedTuple

import pytest
from sqlalchemy import select

from lmaps.store import models, rows
from lmaps.store.instances import InstanceWithDocument
from lmaps.store.statements import Insertion, Query, insertion

WRITTEN = [
    (models.changeset, rows.Changeset),
    (models.change, rows.StoredChange),
    (models.document, rows.StoredDocument),
    (models.instance, rows.StoredInstance),
    (models.request, rows.StoredRequest),
]


def with_fields(row, names):
    """The same row type with its fields in another order, or with others."""
    return NamedTuple(row.__name__, [(name, row.__annotations__.get(name)) for name in names])


@pytest.mark.parametrize(("table", "row"), WRITTEN, ids=lambda each: getattr(each, "name", ""))
def test_a_row_whose_fields_are_not_the_columns_is_refused(table, row):
    Insertion(table, row)
    for first in range(len(row._fields) - 1):
        moved = [*row._fields]
        moved[first : first + 2] = reversed(moved[first : first + 2])
        with pytest.raises(TypeError, match=f"the fields of {row.__name__} .* are not the columns of the table"):
            Insertion(table, with_fields(row, moved))
    for other in (row._fields[:-1], (*row._fields, "more")):
        with pytest.raises(TypeError):
            Insertion(table, with_fields(row, other))


def test_a_query_whose_columns_are_not_the_fields_is_refused():
    columns = [models.instance.c.id, models.instance.c.unit]
    in_order = with_fields(rows.StoredInstance, ["id", "unit"])
    Query(select(*columns), in_order)
    with pytest.raises(TypeError, match="are not the columns of the query"):
        Query(select(*reversed(columns)), in_order)
    with pytest.raises(TypeError):
        Query(select(*columns), InstanceWithDocument)


def test_columns_that_are_not_in_the_order_of_the_table_are_refused():
    with pytest.raises(ValueError, match="are not in the order of audit"):
        insertion(models.audit, ("subject", "at"))
