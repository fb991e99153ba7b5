"""JSON Schema as lMaPS uses it: defaults are applied first, then everything is validated, and nothing is fetched.

schema       Schema: a schema, compiled once
drafts       the draft of a schema, and its subschemas
compiled     plain schemas as functions: the fast path, without jsonschema
formats      the formats that are checked
messages     validation errors in plain words
secrets      values that a schema marks as secret, and their masks
unmasking    puts secrets back where a document that comes in has masks
scrubber     masks secrets in the output of jobs
references   references within a schema
lint         faults of a schema itself
names        the names that a document's properties may have
patterns     regular expressions: how matches begin, and which can take exponential time
dataclasses  the schema of a dataclass

Imported for the first schema that is not plain, or the first finding:
full         FullSchema: any schema at all, with every explanation
backend      jsonschema, in each draft
defaults     applies defaults in any schema
"""

from lmaps.model.schema.lint import lint, slow_patterns, unknown_keywords
from lmaps.model.schema.schema import Schema
from lmaps.model.schema.scrubber import Scrubber
from lmaps.model.schema.secrets import Secrets

__all__ = [
    "Schema",
    "Scrubber",
    "Secrets",
    "lint",
    "slow_patterns",
    "unknown_keywords",
]
