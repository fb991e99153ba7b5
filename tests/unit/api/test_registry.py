"""The table of verbs: what each says of its arguments."""

import math

import pytest

from lmaps.api.registry import ENDPOINTS
from lmaps.model.schema import drafts


@pytest.mark.parametrize("verb", ENDPOINTS)
def test_no_number_is_too_large_to_be_counted(verb: str) -> None:
    """JSON Schema calls 1e300 an integer too; SQLite would say that the database is damaged."""
    numbers = {at: part for at, part in drafts.walk(ENDPOINTS[verb].definition) if "integer" in part.get("type", ())}
    assert [at for at, part in numbers.items() if part.get("maximum", math.inf) >= 2**63] == []
