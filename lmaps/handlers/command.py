"""``command``: runs any program with the state as JSON. Never by a shell."""

from pathlib import Path
from typing import Any

from lmaps.errors import Finding
from lmaps.handlers.base import State, UnitHandler, file_findings
from lmaps.model.units import Unit
from lmaps.process import Program
from lmaps.util import jsonio

_CODES = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}


class CommandHandler(UnitHandler):
    """Runs a program with the state as JSON on its standard input, or in a file."""

    type = "command"
    args_schema = {  # noqa: RUF012 (a constant of the contract)
        "type": "object",
        "required": ["argv"],
        "additionalProperties": False,
        "properties": {
            "argv": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "The program and its arguments. A name with a slash counts from the unit file; "
                "{state} stands for the path of the file that holds the state.",
            },
            "cwd": {"type": "string", "description": "Where it runs; counts from the unit file."},
            "environment": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "default": {},
                "description": "Variables beside PATH, LANG and HOME.",
            },
            "success": _CODES | {"default": [0], "description": "Exit codes that mean success."},
            "changed": _CODES | {"default": [], "description": "Those of them that mean that something changed."},
        },
    }

    def program(self, state: State, folder: Path) -> Program:
        """Return the program that the unit names. Clients' values are in the state only: argv is public, in /proc."""
        args = self.unit.args
        document = (jsonio.encode(state.document) + "\n").encode()
        file = folder / "state.json"
        argv = [str(file) if word == "{state}" else word for word in args["argv"]]
        argv[0] = str(self.unit.directory / argv[0]) if "/" in argv[0] else argv[0]
        success, changed = set(args.get("success", [0])), set(args.get("changed", []))
        return Program(
            tuple(argv),
            files={file.name: document},
            environment=args.get("environment", {}),
            stdin=document,
            cwd=str(self.unit.directory / args["cwd"]) if "cwd" in args else None,
            success=frozenset(success | changed),
            changed=frozenset(changed),
        )

    @classmethod
    def check(cls, unit: Unit) -> list[Finding]:
        """Return a finding if a program that is named with a slash is missing."""
        argv: list[Any] = unit.args.get("argv", [])
        if not argv or "/" not in argv[0]:
            return []
        findings = file_findings(unit.directory / argv[0], "program", ("handler", "args", "argv", 0))
        return [unit.locate(finding) for finding in findings]
