"""The variables file: what a client sent is text, whatever it looks like; what the unit's author wrote is a template.

To Ansible each extra variable is a trusted template, and a value such as ``{{ lookup('pipe', 'id') }}`` would run as
root. So every string and key of a given document is marked ``!unsafe``, and only defaults stay alive. YAML alone does
it: the marks of a JSON file can be undone by a client. Where the bare text would be read as something else (``no``,
``0777``, the empty string) the mark is left off, since an unsafe scalar is resolved anew: such text holds no template.
"""

from typing import Any

import yaml

from lmaps.core.data import get_data_type_by_name
from lmaps.core.handlers import State

_TEXT = "tag:yaml.org,2002:str"
_resolve: Any = yaml.resolver.Resolver().resolve


class ClientText(str):
    """Text that came from a client: never a template. Keys too."""

    __slots__ = ()


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # the base is chosen at run time
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _client_text(dumper: Any, text: ClientText) -> Any:
    literal = _resolve(yaml.ScalarNode, str(text), (True, False)) != _TEXT
    return dumper.represent_scalar(_TEXT if literal else "!unsafe", str(text), style='"')


def _own_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar(_TEXT, text, style='"')


_Dumper.add_representer(ClientText, _client_text)
_Dumper.add_representer(str, _own_text)


def variables_file(state: State) -> bytes:
    """The state as Ansible is to read it: below the unit's ``store_key``, for a YamlFile at the top."""
    unit = state.unit
    rows = [mark(completed, given) for given, completed in zip(state.given, state.completed, strict=True)]
    data_type = get_data_type_by_name(unit.data_type)
    shaped = data_type(rows=rows, store_key=unit.store_key, primary_key=unit.primary_key).state()
    variables = {unit.store_key: shaped} if isinstance(shaped, list) else shaped
    if unit.data_type == "YamlFile":
        variables = {str(name): value for name, value in variables.items()}
    elif unit.data_type == "YamlKeyDict" and unit.primary_key is not None:
        variables = {unit.store_key: {ClientText(key): value for key, value in shaped[unit.store_key].items()}}
    text: str = yaml.dump(
        variables, Dumper=_Dumper, explicit_start=True, sort_keys=False, allow_unicode=False, width=2**20
    )
    return text.encode("ascii")


_OWN = object()


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
