"""The table of verbs: what each says of its arguments.

``python -m tests.unit.api.test_registry`` writes what `discover` answers to ``discover.json``.
"""

import json
import math
from pathlib import Path

import pytest

from lmaps.api import legacy
from lmaps.api.registry import ENDPOINTS
from lmaps.model.schema import drafts
from lmaps.protocol import VERSION

DISCOVER = Path(__file__).with_name("discover.json")


@pytest.mark.parametrize("verb", ENDPOINTS)
def test_no_number_is_too_large_to_be_counted(verb: str) -> None:
    """JSON Schema calls 1e300 an integer too; SQLite would say that the database is damaged."""
    numbers = {at: part for at, part in drafts.walk(ENDPOINTS[verb].definition) if "integer" in part.get("type", ())}
    assert [at for at, part in numbers.items() if part.get("maximum", math.inf) >= 2**63] == []


def test_discover_answers_what_it_did() -> None:
    """Clients are made from this: its bytes change only with what a request may carry."""
    assert discover_text() == DISCOVER.read_text()


def discover_text() -> str:
    """Return what `discover` answers, with a line for each endpoint."""
    verbs = [
        f"  {json.dumps(name)}: "
        + json.dumps({"right": endpoint.right, "also": endpoint.further_rights, "schema": endpoint.definition})
        for name, endpoint in ENDPOINTS.items()
    ]
    lines = ",\n".join(verbs)
    return f'{{"version": {VERSION}, "verbs": {{\n{lines}\n}},\n"legacy": {json.dumps(legacy.SCHEMA)}}}\n'


if __name__ == "__main__":
    DISCOVER.write_text(discover_text())
