"""The variables that a unit gives to Ansible: their names are the author's, never a client's.

Extra variables go before all others. Whoever chooses the name ``ansible_python_interpreter`` runs any program as the
daemon's user, and any other name may be a variable of the playbook or of a role. The manager, which loads no handler,
refuses such units when it loads them; that is why the names are here.
"""

import re
from collections.abc import Iterator

from lmaps.errors import Finding
from lmaps.model.schema import drafts
from lmaps.model.schema.messages import quote
from lmaps.model.schema.names import Names, property_names
from lmaps.model.schema.schema import Schema
from lmaps.model.units.unit import Unit

ANSIBLE = "ansible_playbook"
"""The type of the handler whose units are checked when they are loaded."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ANSIBLES_OWN = re.compile(r"_*ansible_")
"""Connections, interpreters, becoming root, facts; since ansible-core 2.19 modules by ``_ansible_ansiballz_...``."""

RESERVED = frozenset(
    """
    action always any_errors_fatal args async async_val become become_exe become_flags become_method become_user
    block changed_when check_mode collections connection debugger delay delegate_facts delegate_to diff environment
    fact_path failed_when force_handlers gather_facts gather_subset gather_timeout handlers hosts ignore_errors
    ignore_unreachable import_playbook import_role import_tasks include include_role include_tasks include_vars
    listen local_action loop loop_control loop_with max_fail_percentage module_defaults name no_log notify order
    poll port post_tasks pre_tasks register remote_user rescue retries roles run_once serial strategy tags tasks
    throttle timeout until validate_argspec vars vars_files vars_prompt when with_dict with_items with_
    ansible delegated_vars group_names groups hostvars inventory_dir inventory_file inventory_hostname
    inventory_hostname_short item omit play_hosts playbook_dir role_name role_names role_path role_uuid
    cycler dict joiner lipsum lookup namespace now query q range undef
    True False None true false none and as else for if import in is not or set with
    """.split()
)
"""Variable names that a unit must not give to Ansible: keywords of plays, magic variables, globals of templates.

Taken from ansible-core 2.16 to 2.21, with the magic variables and globals that its own list of reserved names lacks.
"""

NOT_A_VARIABLE = "cannot be a variable: Ansible reserves the name, or it is none"
"""What messages say of a name that is not usable."""

_RISK = "lets clients name variables, such as ansible_python_interpreter, by which they run any program"
_PREFIX = "begin the pattern with ^ and a prefix of your own, such as ^site_"
_ONE_VARIABLE = "or use data_type YamlKeyDict, which has free names in one variable"


def is_usable(name: str) -> bool:
    """Return whether a playbook can be given a variable of this name."""
    return _VARIABLE.match(name) is not None and _ANSIBLES_OWN.match(name) is None and name not in RESERVED


def variable_findings(unit: Unit) -> list[Finding]:
    """Return a finding for each variable that the unit must not give to Ansible, and for each way to name others."""
    if unit.data_type != "YamlFile":
        if is_usable(unit.store_key):
            return []
        at = ("meta", "store_key") if "store_key" in unit.definition["meta"] else ("meta",)
        return [Finding(f"{quote(unit.store_key)} {NOT_A_VARIABLE}", at, got=unit.store_key)]
    return list(_property_findings(unit))


def _property_findings(unit: Unit) -> Iterator[Finding]:
    names = property_names(unit.schema.definition)
    if _open_places(names) and not unit.strict:
        names = property_names(Schema(unit.params, closed=True).definition)  # what meta.strict would leave open
        if not _open_places(names):
            yield Finding(f"the schema {_RISK}: set meta.strict: true; {_ONE_VARIABLE}", ("meta",))
    for name, at in names.named.items():
        if not is_usable(name):
            yield Finding(f"{quote(name)} {NOT_A_VARIABLE}", unit.params_at + at, on_key=True, property=name)
    for at in _open_places(names):
        yield _open_finding(unit, at)


def _open_places(names: Names) -> list[drafts.At]:
    """Return the places in a schema by which a client could choose a name that is not usable."""
    return list(dict.fromkeys(at for beginning, at in names.beginnings.items() if not _is_free(beginning)))


def _is_free(beginning: str) -> bool:
    """Return whether each name with this beginning is usable, as far as its letters go."""
    bare = beginning.lstrip("_")
    if not bare or bare.startswith("ansible_") or "ansible_".startswith(bare):
        return False
    return not any(name.startswith(beginning) for name in RESERVED)


def _open_finding(unit: Unit, at: drafts.At) -> Finding:
    """Return the finding for a place in the schema by which names are open."""
    match at:
        case (*_, "patternProperties", pattern):
            opening, cure = f"the pattern {quote(pattern)}", f"name the properties, or {_PREFIX}"
        case (*_, "propertyNames", "pattern"):
            opening, cure = "the pattern", f"list the names as an enum, or {_PREFIX}"
        case (*_, "additionalProperties" | "unevaluatedProperties" as name):
            opening, cure = name, "name the properties and make it false; meta.strict does not change it"
        case _:
            opening = "the schema"
            cure = "name the properties and add additionalProperties: false; meta.strict cannot"
    return Finding(f"{opening} {_RISK}: {cure}; {_ONE_VARIABLE}", unit.params_at + at, on_key=True)
