"""`AnsiblePlaybook`: the handler that runs a playbook."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmaps.errors import Finding, HandlerFailed
from lmaps.handlers.ansible.variables import variables_file
from lmaps.handlers.base import State, UnitHandler, file_findings
from lmaps.model.units import Unit
from lmaps.model.units.variables import ANSIBLE, variable_findings
from lmaps.process import JOB_TAG, Outcome, Program, WarmStart

HERE = Path(__file__).parent
WARM = WarmStart(
    HERE / "warm" / "preparation.py",
    per_run_variables=frozenset(
        {
            "ANSIBLE_COLLECTIONS_PATH",
            "ANSIBLE_LOCAL_TEMP",
            "ANSIBLE_PIPELINING",
            "ANSIBLE_PYTHON_INTERPRETER",
            "ANSIBLE_ROLES_PATH",
            "ANSIBLE_TRANSPORT",
            JOB_TAG,
        }
    ),
)
"""Ansible keeps these variables only as settings, which the preparation reads anew for each run. Any other variable may
have been read when a module was imported, and a run would see the value of the fork server."""
_LIST_OF_STRINGS = {"type": "array", "items": {"type": "string"}, "default": []}


class AnsiblePlaybook(UnitHandler):
    """Runs an Ansible playbook with the state as variables."""

    type = ANSIBLE
    preview = "partial"
    event_words = frozenset(
        (
            "event play tasks task handler host hosts item message changed ignored unknown "
            "ok failures unreachable skipped rescued "
            "playbook_on_play_start playbook_on_task_start playbook_on_stats on_file_diff "
            "runner_on_ok runner_on_failed runner_on_unreachable runner_on_skipped "
            "runner_item_on_ok runner_item_on_failed runner_item_on_skipped"
        ).split()
    )
    args_schema = {  # noqa: RUF012 (a constant of the contract)
        "type": "object",
        "required": ["playbook"],
        "additionalProperties": False,
        "properties": {
            "playbook": {"type": "string", "description": "The playbook; counts from the unit file."},
            "inventory": {
                "type": "string",
                "description": "Inventory file (counts from the unit file), or hosts with commas; else this host.",
            },
            "limit": {"type": "string", "description": "Only these hosts."},
            "tags": _LIST_OF_STRINGS | {"description": "Only tasks with these tags."},
            "become": {"type": "boolean", "default": False, "description": "Run tasks as root."},
            "check": {"type": "boolean", "default": False, "description": "Change nothing, only show."},
            "extra_args": _LIST_OF_STRINGS | {"description": "More arguments of ansible-playbook."},
            "program": {"type": "string", "description": "Path of ansible-playbook."},
            "warm": {
                "type": "boolean",
                "default": True,
                "description": "Fork runs off an Ansible that is loaded already.",
            },
            "interpreter": {"type": "string", "description": "Python on the hosts; else the one of lMaPS."},
        },
    }

    def program(self, state: State, folder: Path) -> Program:
        """Return ``ansible-playbook`` with a configuration, a variables file and an event pipe of ours.

        Raises `HandlerFailed`, before anything is written, for a variable that must not be given to Ansible.
        """
        files = {"vars.yaml": variables_file(state)}
        (folder / "tmp").mkdir(mode=0o700)
        return Program(
            # "--": a playbook whose name begins with a dash is no option
            (_ansible_playbook(self.unit), *self._options(folder), "--", str(self._path("playbook"))),
            files=files,
            environment=self._environment(folder),
            events=True,
            warm=WARM if self.unit.args.get("warm", True) else None,
        )

    def plan(self, state: State, folder: Path) -> Program:
        """Return the same program in Ansible's check mode, with differences."""
        program = self.program(state, folder)
        command, *options = program.argv
        return replace(program, argv=(command, "--check", "--diff", *options))

    def _path(self, name: str) -> Path:
        return self.unit.directory / str(self.unit.args[name])

    def _options(self, folder: Path) -> list[str]:
        args = self.unit.args
        # Values go into a file of mode 0600: argv is readable for everybody, and -e key=value splits at spaces.
        options = ["--inventory", self._inventory(), "--extra-vars", f"@{folder / 'vars.yaml'}"]
        options += ["--limit", args["limit"]] if "limit" in args else []
        options += ["--tags", ",".join(args["tags"])] if args.get("tags") else []
        options += ["--become"] if args.get("become") else []
        options += ["--check"] if args.get("check") else []
        return [*options, *args.get("extra_args", [])]

    def _inventory(self) -> str:
        inventory = self.unit.args.get("inventory")
        if inventory is None:
            return "localhost,"
        return inventory if "," in inventory else str(self._path("inventory"))

    def _environment(self, folder: Path) -> dict[str, str]:
        beside = self._path("playbook").parent
        environment = {
            # Ours, which is empty: else Ansible reads one from the working directory or the user's home.
            "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_NO_TARGET_SYSLOG": "1",  # modules would log their arguments, secrets among them
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
            "ANSIBLE_STDOUT_CALLBACK": "lmaps_events",
            "ANSIBLE_ROLES_PATH": str(beside / "roles"),
            "ANSIBLE_COLLECTIONS_PATH": str(beside / "collections"),
            # Always set: Ansible's own search may choose a version manager's shim, and fail.
            "ANSIBLE_PYTHON_INTERPRETER": self.unit.args.get("interpreter", sys.executable),
        }
        if "inventory" in self.unit.args:
            return environment
        # Pipelining passes a module and its arguments by a pipe: a file with them would stay if the run is killed.
        return environment | {"ANSIBLE_TRANSPORT": "local", "ANSIBLE_PIPELINING": "1"}

    def summary(self, outcome: Outcome, events: list[dict[str, Any]], program: Program) -> dict[str, int]:
        """Return the counts of all hosts together, from Ansible's own statistics."""
        counts = {"ok": 0, "changed": 0, "failed": 0, "unknown": 0}
        for event in events:
            if event.get("event") == "playbook_on_stats":
                for host in event.get("hosts", {}).values():
                    counts["ok"] += host["ok"]
                    counts["changed"] += host["changed"]
                    counts["failed"] += host["failures"] + host["unreachable"]
            counts["unknown"] += int(event.get("unknown") is True)
        return counts

    @classmethod
    def check(cls, unit: Unit) -> list[Finding]:
        """Return findings for a playbook that is missing, and for variables with names that Ansible reserves."""
        playbook = unit.directory / str(unit.args.get("playbook", ""))
        findings = file_findings(playbook, "playbook", ("handler", "args", "playbook"))
        findings += variable_findings(unit)  # the units of handlers derived from this one are checked here alone
        return [unit.locate(finding) for finding in findings]


def _ansible_playbook(unit: Unit) -> str:
    """Return the path of ansible-playbook: the unit's own, the one beside this Python, else the one in PATH."""
    if "program" in unit.args:
        return str(unit.directory / unit.args["program"])
    beside = Path(sys.executable).parent / "ansible-playbook"
    program = str(beside) if os.access(beside, os.X_OK) else shutil.which("ansible-playbook")
    if program is None:
        raise HandlerFailed("cannot find ansible-playbook: install it beside lMaPS, pip install 'lmaps[ansible]'")
    return program
