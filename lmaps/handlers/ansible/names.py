"""Variable names that a unit must not give to Ansible: keywords of plays, magic variables, globals of templates."""

import re

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

RESERVED = frozenset(
    """
    action always any_errors_fatal args async async_val become become_exe become_flags become_method become_user
    block changed_when check_mode collections connection debugger delay delegate_facts delegate_to diff environment
    fact_path failed_when force_handlers gather_facts gather_subset gather_timeout handlers hosts ignore_errors
    ignore_unreachable import_playbook import_role import_tasks include include_role include_tasks include_vars
    listen local_action loop loop_control loop_with max_fail_percentage module_defaults name no_log notify order
    poll port post_tasks pre_tasks register remote_user rescue retries roles run_once serial strategy tags tasks
    throttle timeout until validate_argspec vars vars_files vars_prompt when with_dict with_items with_
    ansible group_names groups hostvars inventory_dir inventory_file inventory_hostname inventory_hostname_short
    item omit play_hosts playbook_dir role_name role_names role_path
    cycler dict joiner lipsum lookup namespace now query q range undef
    True False None true false none and as else for if import in is not or set with
    """.split()
)
"""Taken from ansible-core 2.16 to 2.21, with the magic variables and globals that its own list lacks."""

NO_VARIABLE = "cannot be a variable: Ansible keeps the name, or it is none"
"""What messages say of a name that is not usable."""


def is_usable(name: str) -> bool:
    """Whether a playbook can be given a variable of this name."""
    return VARIABLE.match(name) is not None and not name.startswith("ansible_") and name not in RESERVED
