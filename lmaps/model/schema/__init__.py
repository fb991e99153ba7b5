"""JSON Schema as lMaPS uses it: defaults mixed in first, then validated, all errors at once, nothing fetched.

drafts       which draft a schema is written in, where its subschemas lie
references   references within a schema, and what holds where they lead
formats      the formats that are really checked
plain        quick ways for plain schemas, in front of jsonschema and the filler
findings     a validation error in plain words
secrets      which values are marked secret, and how they are masked
lint         what is wrong with a schema itself
validation   Schema: all of it for one schema

Loaded for the first schema that is not plain, or the first finding:
validators   what jsonschema does for us
defaults     mixes defaults into a document
whole        Whole: any schema at all, with every explanation
faults       what is wrong with a schema that is not plain
"""

from lmaps.model.schema.lint import lint, slow_patterns, unknown_keywords
from lmaps.model.schema.schema import Schema
from lmaps.model.schema.secrets import Secrets, scrubber

__all__ = [
    "Schema",
    "Secrets",
    "lint",
    "scrubber",
    "slow_patterns",
    "unknown_keywords",
]
