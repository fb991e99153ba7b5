"""The variables file: text that a client sent stays text, text that the unit's author wrote may be a template.

To Ansible each extra variable is a trusted template: a client's ``{{ lookup('pipe', 'id') }}`` would run as root. So
every string and key of a given document is marked ``!unsafe``; only defaults remain templates. The file is YAML: the
markers of a JSON file can be undone by a client whose document contains one of its keys. Where the bare text would be
read as something else (``no``, ``0777``, the empty string) the mark is left off, since Ansible resolves an unsafe
scalar as if it were not quoted; such text holds no template.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import yaml

from lmaps.errors import HandlerFailed, ValidationFailed
from lmaps.handlers.base import State
from lmaps.model.data_types import get_data_type_by_name
from lmaps.model.schema.messages import quote
from lmaps.model.units import Unit, short_id
from lmaps.model.units.variables import NOT_A_VARIABLE, is_usable

_STRING_TAG = "tag:yaml.org,2002:str"
_MAX_KEY_CHARS = 128
"""YAML 1.1 allows 1,024 characters, escapes included, for a key before its colon; a longer key gets its own line."""
_BEYOND_BMP = re.compile("([\U00010000-\U0010ffff])")
_resolve: Any = yaml.resolver.Resolver().resolve


class ClientText(str):
    """Text that came from a client, keys too: never a template."""

    __slots__ = ()


def variables_file(state: State) -> bytes:
    """Return the variables file: the state below the unit's ``store_key``, for a YamlFile at the top.

    Raises `HandlerFailed` for a name that must not be given to Ansible, whatever the schema allows.
    """
    variables = _variables(state)
    _refuse_unusable(state, variables)
    # With "---" Ansible's JSON reader always fails: there is one way to read the file.
    return f"---\n{_block(variables, '', state.beat)}\n".encode("ascii")


def _variables(state: State) -> dict[str, Any]:
    """Return the variables by name, with the clients' text marked."""
    unit = state.unit
    rows = [_marked_row(unit, given, completed) for given, completed in state.pairs()]
    data_type = get_data_type_by_name(unit.data_type)
    document = data_type(rows=rows, store_key=unit.store_key, primary_key=unit.primary_key).state()
    if unit.data_type == "YamlFile":
        return {str(name): value for name, value in document.items()}
    if isinstance(document, list):
        return {unit.store_key: document}
    [value] = document.values()
    if unit.data_type == "YamlKeyDict" and unit.primary_key is not None:
        # From ansible-core 2.19 on keys are templates too: they run when a play loops over them.
        value = {ClientText(key): row for key, row in value.items()}
    return {unit.store_key: value}


def _refuse_unusable(state: State, names: Iterable[str]) -> None:
    """Raise `HandlerFailed` with the first of ``names`` that is not usable, its place, and what to do."""
    unit = state.unit
    for name in names:
        if not is_usable(name):
            if unit.data_type == "YamlFile":
                place = _instance_with(state, name)
                remedy = "remove it there, or from the schema's defaults, and have the schema refuse it"
            else:
                place, remedy = "meta.store_key", "choose another in the unit file"
            raise HandlerFailed(f"cannot apply {unit.name}: {quote(name)} in {place} {NOT_A_VARIABLE}; {remedy}")


def _instance_with(state: State, name: str) -> str:
    """Return what a message calls the oldest instance that has the property ``name`` at its top."""
    unit = state.unit
    for _, completed in state.pairs():
        has_id = unit.primary_key in completed if unit.primary_key else not unit.has_keyed_ids
        if name in completed and has_id:
            return f"instance {short_id(unit.identify(completed))}"
    return "an instance"


def _block(value: object, pad: str, beat: Callable[[], None]) -> str:
    """Return ``value`` as YAML, to be placed after the indentation ``pad``. PyYAML would take several times as long."""
    beat()
    if isinstance(value, dict) and value:
        return f"\n{pad}".join([_entry(key, below, pad, beat) for key, below in value.items()])
    if isinstance(value, list) and value:
        deeper = pad + "  "
        return f"\n{pad}".join([f"- {_block(item, deeper, beat)}" for item in value])
    return _scalar(value)


def _entry(key: str, value: object, pad: str, beat: Callable[[], None]) -> str:
    name, deeper = _scalar(key), pad + "  "
    if len(name) > _MAX_KEY_CHARS:
        return f"? {name}\n{pad}: {_block(value, deeper, beat)}"
    if isinstance(value, dict) and value:
        return f"{name}:\n{deeper}{_block(value, deeper, beat)}"
    if isinstance(value, list) and value:
        return f"{name}:\n{pad}{_block(value, pad, beat)}"
    return f"{name}: {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, ClientText):
        literal = _resolve(yaml.ScalarNode, str(value), (True, False)) != _STRING_TAG
        return _quoted(value) if literal else f"!unsafe {_quoted(value)}"
    if isinstance(value, str):
        return _quoted(value)
    text = json.dumps(value, allow_nan=False)
    # YAML 1.1 reads 1e22 as text: a float needs its point.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def _quoted(text: str) -> str:
    """Return ``text`` in double quotes and ASCII, as JSON does except for two cases.

    libyaml refuses the surrogate pairs by which JSON writes characters such as emojis, and an unescaped DEL.
    """
    parts = [text] if text.isascii() else _BEYOND_BMP.split(text)
    escaped = [f"\\U{ord(part):08x}" if number % 2 else json.dumps(part)[1:-1] for number, part in enumerate(parts)]
    return f'"{"".join(escaped)}"'.replace("\x7f", "\\x7f")


_ABSENT = object()


def _marked_row(unit: Unit, given: dict[str, Any], completed: dict[str, Any]) -> Any:
    """Return ``completed`` with the client's text marked. Only values that the unit fills in itself may be templates.

    The manager says which document was given. It reads clients' bytes and is not trusted with this: a captured manager
    could pass a client's text as a default. So where a template remains, the defaults are filled in here once more.
    """
    marked = mark(completed, given)
    if not any("{" in text for text in _unmarked_text(marked)):
        return marked
    try:
        filled = unit.complete(given)
    except ValidationFailed:
        filled = {}
    return mark(completed, _from_client(given, completed, filled))


def _unmarked_text(marked: object) -> Iterator[str]:
    """Yield all text, keys too, that is not marked."""
    if isinstance(marked, str) and not isinstance(marked, ClientText):
        yield marked
    elif isinstance(marked, dict):
        for pair in marked.items():
            for part in pair:
                yield from _unmarked_text(part)
    elif isinstance(marked, list):
        for item in marked:
            yield from _unmarked_text(item)


def _from_client(given: object, completed: object, filled: object) -> Any:
    """Return ``given``, with everything in ``completed`` that differs from ``filled``, the unit's own completion."""
    if not isinstance(completed, dict) or not isinstance(filled, dict):
        return completed
    sent = given if isinstance(given, dict) else {}
    differing = {name: value for name, value in completed.items() if filled.get(name, _ABSENT) != value}
    return sent | {name: _from_client(sent.get(name), value, filled.get(name)) for name, value in differing.items()}


def mark(completed: object, given: object = _ABSENT) -> Any:
    """Return ``completed`` with the client's text marked: every string and key that is in ``given`` too."""
    if isinstance(completed, dict):
        sent = given if isinstance(given, dict) else {}
        return {
            (ClientText(key) if key in sent else key): mark(value, sent.get(key, _ABSENT))
            for key, value in completed.items()
        }
    if isinstance(completed, list):
        items = given if isinstance(given, list) else []
        return [mark(value, items[index] if index < len(items) else _ABSENT) for index, value in enumerate(completed)]
    return ClientText(completed) if isinstance(completed, str) and given is not _ABSENT else completed
