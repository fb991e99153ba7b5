"""Runs inside Ansible: what the helper of a warm start loads, and what each of its children renews.

Nothing is run here, only imported: what Ansible makes for a run (its command line, variables, vault, plugins, their
paths, warnings) each child makes itself, as if started anew.
"""

import atexit
import importlib
import os
import secrets
import tempfile

from ansible.release import __version__

READ = (os.environ.get("ANSIBLE_CONFIG", ""),)
TRIED = ("2.19.", "2.20.", "2.21.", "2.22.")
"""Releases that are known to keep nothing of what varies from the time of their import, but as a setting."""
MODULES = """
    cli.playbook cli.scripts executor.process.worker executor.task_executor
""".split()


def load():
    """Import what a playbook will need. Ansible makes a temporary folder when it is imported: that one goes again."""
    if not __version__.startswith(TRIED):
        raise SystemExit(f"ansible-core {__version__} is not known to start warm")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ANSIBLE_LOCAL_TEMP"] = folder
        for name in MODULES:
            importlib.import_module(f"ansible.{name}")
        atexit.unregister(importlib.import_module("ansible.utils.path").cleanup_tmp_file)
    del os.environ["ANSIBLE_LOCAL_TEMP"]


def renew(changed):
    """Read the settings that the run has for itself, and draw what must not be the same in two runs."""
    constants = importlib.import_module("ansible.constants")
    for name, definition in constants.config.get_configuration_definitions().items():
        if any(entry["name"] in changed for entry in definition.get("env", ())):
            constants.set_constant(name, constants.config.get_config_value(name, variables=vars(constants)))
    importlib.import_module("ansible.utils.vars").random_int = f"{secrets.randbelow(2**32):08x}"


load()
