"""What `lmaps apply` costs above the bare `ansible-playbook` command: ``python -m bench.apply``.

The same playbooks, variables and environment three ways, in interleaved rounds: the bare command; `lmaps apply` of a
unit that says ``warm: false``; and of one whose runs are forked off an Ansible that is loaded. Whole processes are
measured, from start to end; of a job also the time between its start and its end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.ours import daemon
from lmaps import Client
from lmaps.core.execute.program import BASE_ENVIRONMENT
from lmaps.core.handlers import State
from lmaps.core.times import seconds_between
from lmaps.core.units import load_units_from
from lmaps.plugins.ansible_playbook import AnsiblePlaybook

ROUNDS = 15
PLAYBOOKS = {
    "one": '- {name: say, debug: {msg: "{{ web[0].host }}"}}',
    "three": """\
- {name: copy, copy: {dest: "{{ playbook_dir }}/copied", content: "{{ web[0].host }}"}}
    - {name: template, template: {src: page.j2, dest: "{{ playbook_dir }}/page"}}
    - {name: command, command: {argv: ["true"]}}""",
}
"""One task that Ansible does in its own process; and three that it does in processes of their own."""


def unit(playbook: str, *, warm: bool) -> dict[str, Any]:
    """A unit whose handler runs this playbook."""
    return {
        "meta": {"name": f"{playbook}-{'warm' if warm else 'cold'}", "primary_key": "host", "store_key": "web"},
        "handler": {"type": "ansible_playbook", "args": {"playbook": f"{playbook}.yml", "warm": warm}},
        "params": {"type": "object", "required": ["host"], "properties": {"host": {"type": "string"}}},
    }


def bare(directory: Path, playbook: str) -> Callable[[], float]:
    """Runs the command that the handler would run, with its files, but without our callback; seconds."""
    told = unit(playbook, warm=False)
    [loaded] = load_units_from([(str(directory / "unit.yaml"), json.dumps(told))]).units.values()
    folder = directory / f"bare-{playbook}"
    folder.mkdir()
    program = AnsiblePlaybook(context=loaded).program(State(loaded, 1, [{"host": "a"}], [{"host": "a"}]), folder)
    for name, content in program.files.items():
        (folder / name).write_bytes(content)
    environment = {name: text for name, text in program.environment.items() if "CALLBACK" not in name}
    environment = {**BASE_ENVIRONMENT, "HOME": os.environ["HOME"], **environment}
    return lambda: seconds(list(program.argv), env=environment, cwd=folder)


def seconds(argv: list[str], **options: Any) -> float:
    """How long a process takes."""
    begin = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, **options)
    return time.perf_counter() - begin


def apply(client: Client, name: str) -> tuple[float, float]:
    """How long `lmaps apply` takes, and its job."""
    command = Path(sys.executable).with_name("lmaps")
    whole = seconds([str(command), "--endpoint", client.endpoint, "apply", name])
    [job, *_] = client.call("jobs", unit=name, limit=1).extra["jobs"]
    return whole, seconds_between(job["started_at"], job["ended_at"])


def measure(client: Client, directory: Path, playbook: str) -> list[list[float]]:
    """Of each round, after one that does not count: the command; `lmaps apply` and its job, cold; the same, warm."""
    run = bare(directory, playbook)
    names = [f"{playbook}-{way}" for way in ("cold", "warm")]
    for name in names:
        client.call("create", unit=name, instances=[{"host": "a"}])
    return [[run(), *(each for name in names for each in apply(client, name))] for _ in range(ROUNDS + 1)][1:]


def told(text: str, values: list[float], form: Callable[[float], str]) -> str:
    """A line of the table."""
    numbers = (statistics.median(values), min(values), max(values))
    return "  ".join(f"{form(each):>8}" for each in numbers) + f"  {text}"


def main() -> None:
    """Measure, and print medians, and the medians of the differences and ratios of the rounds."""
    units = [unit(playbook, warm=warm) for playbook in PLAYBOOKS for warm in (False, True)]
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        directory = Path(name)
        (directory / "page.j2").write_text("{{ web[0].host }}\n")
        for playbook, tasks in PLAYBOOKS.items():
            text = f"- hosts: all\n  gather_facts: false\n  tasks:\n    {tasks}\n"
            (directory / f"{playbook}.yml").write_text(text)
        with daemon(directory, *units) as client:
            rounds = {playbook: measure(client, directory, playbook) for playbook in PLAYBOOKS}
    print(f"  median     least      most  what [ms, or a ratio; {ROUNDS} rounds]")
    for playbook, found in rounds.items():
        command, cold, cold_job, warm, warm_job = (list(each) for each in zip(*found, strict=True))
        lines: dict[str, list[float]] = {
            "ansible-playbook": command,
            "lmaps apply, cold": cold,
            "lmaps apply, warm": warm,
            "the difference, cold": [each[1] - each[0] for each in found],
            "the difference, warm": [each[3] - each[0] for each in found],
        }
        for text, values in lines.items():
            print(told(f"{playbook}: {text}", values, lambda each: f"{each * 1000:.0f}"))
        for text, jobs in (("cold", cold_job), ("warm", warm_job)):
            ratios = [job / alone for job, alone in zip(jobs, command, strict=True)]
            print(told(f"{playbook}: job time / command, {text}", ratios, lambda each: f"{each:.2f}"))


if __name__ == "__main__":
    main()
