"""``salt_call``: applies Salt states of a directory with the unit's state as pillar. No master, no minion daemon."""

import json
from pathlib import Path

from lmaps.errors import Finding
from lmaps.handlers.base import State, UnitHandler
from lmaps.model.units import Unit
from lmaps.process import Program


class SaltCall(UnitHandler):
    """Applies Salt states locally, with the state as pillar."""

    type = "salt_call"
    preview = "partial"
    args_schema = {
        "type": "object",
        "required": ["states"],
        "additionalProperties": False,
        "properties": {
            "states": {"type": "string", "description": "Directory of the state files; counts from the unit file."},
            "sls": {"type": "string", "description": "What is applied; else the directory's top.sls."},
            "program": {"type": "string", "default": "salt-call", "description": "The program, or its path."},
        },
    }

    def program(self, state: State, folder: Path) -> Program:
        """``salt-call --local``, its configuration, caches and pillar in the job's folder."""
        return self._call(state, folder, test=False)

    def plan(self, state: State, folder: Path) -> Program:
        """The same with ``test=True``."""
        return self._call(state, folder, test=True)

    def _call(self, state: State, folder: Path, *, test: bool) -> Program:
        minion = {
            "file_client": "local",
            "file_roots": {"base": [str(self.unit.directory / self.unit.args["states"])]},
            "pillar_roots": {"base": [str(folder)]},
            "root_dir": str(folder),
            "id": "local",
            "log_file": "/dev/null",
            "state_output": "terse",
        }
        # names at the top of a pillar are settings of Salt's modules: they must not be a client's
        key, has_key = self.unit.store_key, self.unit.data_type in ("YamlKeyList", "YamlKeyDict")
        pillar = state.document if has_key else {key: state.document}
        program = self.unit.args.get("program", "salt-call")
        argv = [str(self.unit.directory / program) if "/" in program else program]
        argv += ["--config-dir", str(folder), "--local", "--retcode-passthrough", "--out=json", "--log-level=warning"]
        argv += ["state.apply", *([self.unit.args["sls"]] if "sls" in self.unit.args else []), f"test={test}"]
        files = {
            "minion": json.dumps(minion).encode(),
            "top.sls": b"#!json\n" + json.dumps({"base": {"*": ["lmaps"]}}).encode(),
            "lmaps.sls": b"#!json\n" + json.dumps(pillar).encode(),  # values are data: no template is rendered
        }
        return Program(tuple(argv), files=files)

    @classmethod
    def check(cls, unit: Unit) -> list[Finding]:
        """The directory has to be there."""
        states = unit.directory / str(unit.args.get("states", ""))
        if states.is_dir():
            return []
        return [unit.locate(Finding(f"there is no directory {states}", ("handler", "args", "states")))]
