"""Text as values of properties, read by the types that the unit's schema gives: what ``--set K=V`` sends.

YAML says what a text is (``8080``, ``true``, ``[a, b]``), but where the type is string, the text stands as it is.
"""

from collections.abc import Collection, Mapping

from lmaps.errors import LmapsError, UsageError
from lmaps.model.diff import MISSING, Difference, Path
from lmaps.util import jsonio, yamlio


def read_properties(
    texts: Collection[tuple[Path, str]], types: Mapping[str, str], *, quoting: bool = True
) -> list[Difference]:
    """Return what gives each path the value of its text, for `lmaps.model.diff.changed`.

    ``types`` has the type of each property as `property_rows` has it: ``tls.port`` is ``integer``, or ``string or
    null``; ``users[].password`` is the type of ``users.0.password``. Raises `UsageError` for a text that cannot be
    read. The error says why, and may quote an alias or a tag, only if ``quoting``: the text may be a secret.
    """
    differences = []
    for path, text in texts:
        name = ".".join(map(str, path))
        property_path = "".join("[]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
        try:
            value = read_value(name, text, types.get(property_path, "any").split(" or "))
        except UsageError as error:
            raise error if quoting else UsageError(f"cannot read the text for {name} as YAML") from None
        differences.append(Difference(path, MISSING, value))
    return differences


def read_value(name: str, text: str, types: Collection[str]) -> object:
    """Return ``text`` as a value of one of ``types``; as a string only where it fits no other of them.

    ``types`` are those of JSON Schema, ``any`` where the schema gives none. ``name`` is the property's, for the error.
    Raises `UsageError` for a text that is no YAML where it has to be.
    """
    if "string" not in types:
        return _read_yaml(name, text)
    # An integer is a number too, but `type_name` calls it an integer.
    others = {*types, *(["integer"] if "number" in types else [])} - {"string"}
    if not others:
        return text
    try:
        value = _read_yaml(name, text)
    except UsageError:
        return text
    return value if jsonio.type_name(value) in others else text


def _read_yaml(name: str, text: str) -> object:
    try:
        documents = yamlio.load(text)
    except LmapsError as error:
        reason = error.errors[0].message if error.errors else error.message
        raise UsageError(f"cannot read the text for {name} as YAML: {reason}") from error
    return documents[0].value if documents else None
