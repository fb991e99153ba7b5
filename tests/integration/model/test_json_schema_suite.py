"""lMaPS accepts what the JSON Schema Test Suite calls valid and refuses the rest, in every draft that it speaks."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import ValidationFailed
from lmaps.model.schema import Schema, lint

ROOT = Path(__file__).parents[3]
SUITE = Path(os.environ.get("JSON_SCHEMA_TEST_SUITE", ROOT.parent / "shared/data/json-schema-test-suite")) / "tests"
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
FORMATS = ("date", "date-time", "email", "hostname", "ipv4", "ipv6", "regex", "time", "uri", "uuid")

REMOTE = "needs a schema that would have to be fetched, which lMaPS never does"
FORMAT = "the suite takes formats as annotations, lMaPS checks them"
ENDLESS = "the defaults of this metaschema never end: a missing property becomes a schema with that property"
IDNA = "the rules of internationalised names are not checked"
REGEX = "patterns are Python's, not those of ECMA 262"

EXCLUDED_FILES = {
    "refRemote.json": REMOTE,
    "vocabulary.json": "needs a metaschema of its own, which would be fetched",
    "format.json": FORMAT,
}
EXCLUDED = {
    "validate definition against metaschema": ENDLESS,
    "unevaluatedProperties with adjacent non-bool additionalProperties": "jsonschema itself takes it for invalid",
    "remote ref, containing refs itself": ENDLESS,
    "invalid type for default": "a default that does not fit is refused when the schema is loaded",
    "invalid string value for default": "a default that does not fit is refused when the schema is loaded",
    "the default keyword does not do anything if the property is missing": "likewise",
    "validation of A-label (punycode) host names": IDNA,
    "pattern with Unicode property escape": REGEX,
    "patternProperties with Unicode property escape": REGEX,
    "strict-tree schema, guards against misspelled properties": REMOTE,
    "tests for implementation dynamic anchor and reference link": REMOTE,
    "$ref and $dynamicAnchor are independent of order": REMOTE,
    "$ref to $dynamicRef finds detached $dynamicAnchor": REMOTE,
}


def cases(path: Path, schema_uri: str) -> Iterator[tuple[str, Any, Any, bool]]:
    for group in json.loads(path.read_text()):
        schema = group["schema"]
        if isinstance(schema, dict) and "$schema" not in schema:
            schema = {"$schema": schema_uri, **schema}
        for test in group["tests"]:
            yield f"{group['description']}: {test['description']}", schema, test["data"], test["valid"]


def files() -> list[Any]:
    found = []
    for draft in DRAFTS:
        found += sorted((SUITE / draft).glob("*.json"))
        found += [p for name in FORMATS if (p := SUITE / draft / "optional/format" / f"{name}.json").exists()]
    return [pytest.param(path, id=str(path.relative_to(SUITE))) for path in found]


def excluded(path: Path, name: str) -> bool:
    return path.name in EXCLUDED_FILES or any(name.startswith(start) for start in EXCLUDED)


def accepts(schema: Any, document: Any) -> bool:
    if lint(schema):
        return False
    try:
        Schema(schema).complete(document)
    except ValidationFailed:
        return False
    return True


@pytest.mark.skipif(not SUITE.is_dir(), reason=f"the JSON Schema Test Suite is not at {SUITE}")
@pytest.mark.parametrize("path", files() if SUITE.is_dir() else [])
def test_verdicts(path: Path) -> None:
    draft = path.relative_to(SUITE).parts[0]
    wrong = [
        f"{name}: {'valid' if valid else 'invalid'}"
        for name, schema, document, valid in cases(path, DRAFTS[draft])
        if not excluded(path, name) and accepts(schema, document) is not valid
    ]
    assert not wrong
