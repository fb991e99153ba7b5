"""What `lmaps apply` costs above the bare `ansible-playbook` command: ``python -m bench.apply``.

The same playbook, variables, environment and folder, in interleaved rounds; whole processes, from start to end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.__main__ import daemon
from lmaps.core.execute.program import BASE_ENVIRONMENT
from lmaps.core.handlers import State
from lmaps.core.units import load_units_from
from lmaps.plugins.ansible_playbook import AnsiblePlaybook

ROUNDS = 15
PLAYBOOK = '- hosts: all\n  gather_facts: false\n  tasks:\n    - {name: say, debug: {msg: "{{ web[0].host }}"}}\n'
UNIT = {
    "meta": {"name": "site", "primary_key": "host", "store_key": "web"},
    "handler": {"type": "ansible_playbook", "args": {"playbook": "site.yml"}},
    "params": {"type": "object", "required": ["host"], "properties": {"host": {"type": "string"}}},
}


def bare(directory: Path) -> tuple[list[str], dict[str, str]]:
    """The command that the handler would run, with its files written; and its environment, without our callback."""
    unit = load_units_from([(str(directory / "site.yaml"), json.dumps(UNIT))]).units["site"]
    folder = directory / "bare"
    folder.mkdir()
    program = AnsiblePlaybook(context=unit).program(State(unit, 1, [{"host": "a"}], [{"host": "a"}]), folder)
    for name, content in program.files.items():
        (folder / name).write_bytes(content)
    environment = {name: text for name, text in program.environment.items() if "CALLBACK" not in name}
    return list(program.argv), {**BASE_ENVIRONMENT, "HOME": os.environ["HOME"], **environment}


def seconds(argv: list[str], **options: object) -> float:
    """How long a process takes."""
    begin = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, **options)  # type: ignore[call-overload]
    return time.perf_counter() - begin


def main() -> None:
    """Measure, and print medians and the median of the differences."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        directory = Path(name)
        (directory / "site.yml").write_text(PLAYBOOK)
        argv, environment = bare(directory)
        with daemon(directory, UNIT) as client:
            client.call("create", unit="site", instances=[{"host": "a"}])
            lmaps = [str(Path(sys.executable).with_name("lmaps")), "--endpoint", client.endpoint, "apply", "site"]
            pairs = [
                (seconds(argv, env=environment, cwd=directory / "bare"), seconds(lmaps)) for _ in range(ROUNDS + 1)
            ][1:]
    without, with_it = ([pair[place] for pair in pairs] for place in (0, 1))
    over = [both - alone for alone, both in pairs]
    print(f"   median     least      most  what [ms, {ROUNDS} rounds]")
    for text, values in (("ansible-playbook", without), ("lmaps apply", with_it), ("the difference", over)):
        told = (statistics.median(values), min(values), max(values))
        print("  ".join(f"{each * 1000:>8.0f}" for each in told) + f"  {text}")


if __name__ == "__main__":
    main()
