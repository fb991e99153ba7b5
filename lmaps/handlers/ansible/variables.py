"""The variables file: what a client sent is text, whatever it looks like; what the unit's author wrote is a template.

To Ansible each extra variable is a trusted template, and a value such as ``{{ lookup('pipe', 'id') }}`` would run as
root. So every string and key of a given document is marked ``!unsafe``, and only defaults stay alive. YAML alone does
it: the marks of a JSON file can be undone by a client. Where the bare text would be read as something else (``no``,
``0777``, the empty string) the mark is left off, since an unsafe scalar is resolved anew: such text holds no template.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import yaml

from lmaps.errors import HandlerFailed, ValidationFailed
from lmaps.handlers.ansible.names import NO_VARIABLE, is_usable
from lmaps.handlers.base import State
from lmaps.model.data_types import get_data_type_by_name
from lmaps.model.schema.messages import quote
from lmaps.model.units import Unit, short_id

_TEXT = "tag:yaml.org,2002:str"
_LONGEST_KEY = 128
"""Characters of a key that stands before its colon; a longer one has a line of its own."""
_BEYOND = re.compile("([\U00010000-\U0010ffff])")
_resolve: Any = yaml.resolver.Resolver().resolve


class ClientText(str):
    """Text that came from a client: never a template. Keys too."""

    __slots__ = ()


def variables_file(state: State) -> bytes:
    """The state as Ansible is to read it: below the unit's ``store_key``, for a YamlFile at the top.

    Raises `HandlerFailed` for a name that must not be given to Ansible, whatever the schema allows.
    """
    variables = _variables(state)
    _refuse_unusable(state, variables)
    return f"---\n{_block(variables, '', state.beat)}\n".encode("ascii")


def _variables(state: State) -> dict[str, Any]:
    """The variables by their names, with the client's text marked."""
    unit = state.unit
    rows = [_row(unit, given, completed) for given, completed in state.each()]
    data_type = get_data_type_by_name(unit.data_type)
    shaped = data_type(rows=rows, store_key=unit.store_key, primary_key=unit.primary_key).state()
    if unit.data_type == "YamlFile":
        return {str(name): value for name, value in shaped.items()}
    if isinstance(shaped, list):
        return {unit.store_key: shaped}
    [value] = shaped.values()
    if unit.data_type == "YamlKeyDict" and unit.primary_key is not None:
        value = {ClientText(key): row for key, row in value.items()}
    return {unit.store_key: value}


def _refuse_unusable(state: State, names: Iterable[str]) -> None:
    """Raise `HandlerFailed` with the first of ``names`` that is not usable, where it is, and what to do."""
    unit = state.unit
    for name in names:
        if not is_usable(name):
            if unit.data_type == "YamlFile":
                place = _instance_with(state, name)
                remedy = "remove it there, or from the schema's defaults, and have the schema refuse it"
            else:
                place, remedy = "meta.store_key", "choose another in the unit file"
            raise HandlerFailed(f"cannot apply {unit.name}: {quote(name)} in {place} {NO_VARIABLE}; {remedy}")


def _instance_with(state: State, name: str) -> str:
    """What a message calls the oldest instance that has ``name`` at its top."""
    unit = state.unit
    for _, completed in state.each():
        if name in completed and (unit.primary_key is None or unit.primary_key in completed):
            return f"instance {short_id(unit.identify(completed))}"
    return "an instance"


def _block(value: Any, pad: str, beat: Callable[[], None]) -> str:
    """``value`` as YAML, to be begun where ``pad`` ends; written by hand, since PyYAML takes several times as long."""
    beat()
    if isinstance(value, dict) and value:
        return f"\n{pad}".join([_entry(key, below, pad, beat) for key, below in value.items()])
    if isinstance(value, list) and value:
        deeper = pad + "  "
        return f"\n{pad}".join([f"- {_block(item, deeper, beat)}" for item in value])
    return _scalar(value)


def _entry(key: str, value: Any, pad: str, beat: Callable[[], None]) -> str:
    name, deeper = _scalar(key), pad + "  "
    if len(name) > _LONGEST_KEY:
        return f"? {name}\n{pad}: {_block(value, deeper, beat)}"
    if isinstance(value, dict) and value:
        return f"{name}:\n{deeper}{_block(value, deeper, beat)}"
    if isinstance(value, list) and value:
        return f"{name}:\n{pad}{_block(value, pad, beat)}"
    return f"{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, ClientText):
        literal = _resolve(yaml.ScalarNode, str(value), (True, False)) != _TEXT
        return _quoted(value) if literal else f"!unsafe {_quoted(value)}"
    if isinstance(value, str):
        return _quoted(value)
    told = json.dumps(value, allow_nan=False)
    return told.replace("e", ".0e") if isinstance(value, float) and "." not in told else told


def _quoted(text: str) -> str:
    """In ASCII, as JSON but for what YAML wants otherwise: one escape where JSON has two, and one for DEL."""
    parts = [text] if text.isascii() else _BEYOND.split(text)
    told = [f"\\U{ord(part):08x}" if number % 2 else json.dumps(part)[1:-1] for number, part in enumerate(parts)]
    return f'"{"".join(told)}"'.replace("\x7f", "\\x7f")


_OWN = object()


def _row(unit: Unit, given: dict[str, Any], completed: dict[str, Any]) -> Any:
    """``completed`` with the client's text marked. Only what the unit fills in itself may be a template.

    Which document was given the manager says, which need not be trusted: it is the one that reads clients' bytes.
    """
    marked = mark(completed, given)
    if not any("{" in text for text in _living(marked)):
        return marked
    try:
        own = unit.complete(given)
    except ValidationFailed:
        own = {}
    return mark(completed, _claimed(given, completed, own))


def _living(marked: Any) -> Iterator[str]:
    """All text, keys too, that is not marked."""
    if isinstance(marked, str) and not isinstance(marked, ClientText):
        yield marked
    elif isinstance(marked, dict):
        for pair in marked.items():
            for each in pair:
                yield from _living(each)
    elif isinstance(marked, list):
        for each in marked:
            yield from _living(each)


def _claimed(given: Any, completed: Any, own: Any) -> Any:
    """``given``, and what of ``completed`` is not what the unit has filled in, ``own``."""
    if not isinstance(completed, dict) or not isinstance(own, dict):
        return completed
    known = given if isinstance(given, dict) else {}
    differing = {name: value for name, value in completed.items() if own.get(name, _OWN) != value}
    return known | {name: _claimed(known.get(name), value, own.get(name)) for name, value in differing.items()}


def mark(completed: Any, given: Any = _OWN) -> Any:
    """``completed`` with the client's text marked: every string and key that is in ``given`` too."""
    if isinstance(completed, dict):
        known = given if isinstance(given, dict) else {}
        return {
            (ClientText(key) if key in known else key): mark(value, known.get(key, _OWN))
            for key, value in completed.items()
        }
    if isinstance(completed, list):
        theirs = given if isinstance(given, list) else []
        return [mark(value, theirs[index] if index < len(theirs) else _OWN) for index, value in enumerate(completed)]
    return ClientText(completed) if isinstance(completed, str) and given is not _OWN else completed
