"""``puppet_apply``: applies a Puppet manifest with the unit's state as Hiera data. No Puppet server."""

import json
from pathlib import Path

from lmaps.errors import Finding
from lmaps.handlers.base import State, UnitHandler
from lmaps.model.units import Unit
from lmaps.process import Program

UNCHANGED, CHANGED = 0, 2


class PuppetApply(UnitHandler):
    """Applies a Puppet manifest locally, with the state as Hiera data."""

    type = "puppet_apply"
    preview = "full"
    args_schema = {
        "type": "object",
        "required": ["manifest"],
        "additionalProperties": False,
        "properties": {
            "manifest": {"type": "string", "description": "The manifest; counts from the unit file."},
            "modules": {"type": "string", "description": "Directory of modules; counts from the unit file."},
            "program": {"type": "string", "default": "puppet", "description": "The program, or its path."},
        },
    }

    def program(self, state: State, folder: Path) -> Program:
        """``puppet apply``, its data and caches in the job's folder. A manifest says ``lookup('KEY')``."""
        return self._apply(state, folder, [])

    def plan(self, state: State, folder: Path) -> Program:
        """The same with ``--noop``."""
        return self._apply(state, folder, ["--noop"])

    def _apply(self, state: State, folder: Path, options: list[str]) -> Program:
        # names at the top of Hiera's data are parameters of classes: they must not be a client's
        key, has_key = self.unit.store_key, self.unit.data_type in ("YamlKeyList", "YamlKeyDict")
        data = state.document if has_key else {key: state.document}
        hiera = {
            "version": 5,
            "defaults": {"datadir": str(folder), "data_hash": "json_data"},
            "hierarchy": [{"name": "lmaps", "path": "data.json"}],
        }
        program = self.unit.args.get("program", "puppet")
        argv = [str(self.unit.directory / program) if "/" in program else program, "apply", "--detailed-exitcodes"]
        argv += [
            "--confdir",
            str(folder),
            "--vardir",
            str(folder / "var"),
            "--hiera_config",
            str(folder / "hiera.yaml"),
        ]
        if "modules" in self.unit.args:
            argv += ["--modulepath", str(self.unit.directory / self.unit.args["modules"])]
        argv += [*options, "--", str(self.unit.directory / self.unit.args["manifest"])]
        return Program(
            tuple(argv),
            files={"hiera.yaml": json.dumps(hiera).encode(), "data.json": _escaped(data)},
            success=frozenset({UNCHANGED, CHANGED}),
            changed=frozenset({CHANGED}),
        )

    @classmethod
    def check(cls, unit: Unit) -> list[Finding]:
        """The manifest has to be there."""
        manifest = unit.directory / str(unit.args.get("manifest", ""))
        if manifest.is_file():
            return []
        return [unit.locate(Finding(f"there is no manifest {manifest}", ("handler", "args", "manifest")))]


def _escaped(data: object) -> bytes:
    """Hiera data in which nothing is interpolated: a client's ``%{...}`` is text."""
    return json.dumps(data, ensure_ascii=False).replace("%{", "%{literal('%')}{").encode()
