"""``ansible_playbook``: runs a playbook with the state as variables.

handler    AnsiblePlaybook: what to run
variables  the variables file, in which nothing that a client sent is a template
names      variable names that Ansible keeps for itself
callback/  the callback plugin that runs inside Ansible and tells its events
"""

from lmaps.handlers.ansible.handler import AnsiblePlaybook

__all__ = ["AnsiblePlaybook"]
