"""JSON Schema as lMaPS uses it: defaults mixed in first, then validated, all errors at once, nothing fetched.

drafts       which draft a schema is written in, where its subschemas lie, how references resolve
defaults     mixes defaults into a document
formats      the formats that are really checked
plain        quick ways for plain schemas, in front of jsonschema and the filler
findings     a validation error in plain words
secrets      which values are marked secret, and how they are masked
lint         what is wrong with a schema itself
validation   Schema: all of it for one schema
"""

from lmaps.core.schema.lint import lint, slow_patterns, unknown_keywords
from lmaps.core.schema.secrets import Secrets, scrubber
from lmaps.core.schema.validation import Schema, extend_with_default, path_of

__all__ = [
    "Schema",
    "Secrets",
    "extend_with_default",
    "lint",
    "path_of",
    "scrubber",
    "slow_patterns",
    "unknown_keywords",
]
