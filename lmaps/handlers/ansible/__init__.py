"""``ansible_playbook``: runs a playbook with the state as variables.

handler    AnsiblePlaybook: the handler
variables  the variables file, in which no text of a client is a template
callback/  the callback plugin: runs inside Ansible and writes its events
warm/      the preparation of warm starts: runs inside Ansible and loads it
"""

from lmaps.handlers.ansible.handler import AnsiblePlaybook

__all__ = ["AnsiblePlaybook"]
