"""Text as values of properties, read by the types that the unit's schema gives: what ``--set K=V`` sends.

YAML says what a text is (``8080``, ``true``, ``[a, b]``), but where the type is string, the text stands as it is.
"""

from collections.abc import Collection
from typing import Any

from lmaps.errors import LmapsError, UsageError
from lmaps.util import jsonio, yamlio


def read_value(name: str, text: str, types: Collection[str]) -> Any:
    """Return ``text`` as a value of the first of ``types`` that it can be; a string only where it can be no other.

    ``types`` are those of JSON Schema, ``any`` where the schema gives none. ``name`` is the property's, for the error.
    Raises `UsageError` for a text that is no YAML where it has to be.
    """
    if "string" not in types:
        return _read_yaml(name, text)
    others = {*types, *(["integer"] if "number" in types else [])} - {"string"}
    if not others:
        return text
    try:
        value = _read_yaml(name, text)
    except UsageError:
        return text
    return value if jsonio.type_name(value) in others else text


def _read_yaml(name: str, text: str) -> Any:
    try:
        documents = yamlio.load(text)
    except LmapsError as error:
        raise UsageError(f"cannot read {name}={text}: {error.message}") from error
    return documents[0].value if documents else None
