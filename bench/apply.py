"""What `lmaps apply` costs above the bare `ansible-playbook` command: ``python -m bench.apply``.

The same playbooks, variables and environment three ways, in interleaved rounds: the bare command; `lmaps apply` of a
unit that says ``warm: false``; and of one whose runs are forked off an Ansible that is loaded. Then one of them with
10,000 instances, cold. Whole processes are measured, from start to end; of a job also the time between its start and
its end.
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

from bench.ours import UNIT, daemon
from lmaps import Client
from lmaps.handlers.ansible import AnsiblePlaybook
from lmaps.handlers.base import State
from lmaps.model.units import load_units_from
from lmaps.process.program import BASE_ENVIRONMENT
from lmaps.util.times import seconds_between

ROUNDS = 7
ROUNDS_OF_MANY = 5
PLAYBOOKS = {
    "one": '- {name: say, debug: {msg: "{{ web[0].host }}"}}',
    "three": """\
- {name: copy, copy: {dest: "{{ playbook_dir }}/copied", content: "{{ web[0].host }}"}}
    - {name: template, template: {src: page.j2, dest: "{{ playbook_dir }}/page"}}
    - {name: command, command: {argv: ["true"]}}""",
}
"""One task that Ansible does in its own process; and three that it does in processes of their own."""
FEW = [{"host": "a"}]
MANY = [{"host": f"h{number}.example.org", "owner": "me", "aliases": [f"a{number}"]} for number in range(10_000)]


def unit(playbook: str, way: str) -> dict[str, Any]:
    """A unit whose handler runs this playbook; one for many instances is another, and starts cold."""
    return {
        "meta": {"name": f"{playbook}-{way}", "primary_key": "host", "store_key": "web"},
        "handler": {"type": "ansible_playbook", "args": {"playbook": f"{playbook}.yml", "warm": way == "warm"}},
        "params": UNIT["params"],
    }


def bare(directory: Path, playbook: str, instances: list[dict[str, Any]]) -> Callable[[], float]:
    """Runs the command that the handler would run, with its files, but without our callback; seconds."""
    told = unit(playbook, "cold")
    [loaded] = load_units_from([(str(directory / "unit.yaml"), json.dumps(told))]).units.values()
    folder = directory / f"bare-{playbook}-{len(instances)}"
    folder.mkdir()
    completed = [loaded.complete(instance) for instance in instances]
    program = AnsiblePlaybook(context=loaded).program(State(loaded, 1, instances, completed), folder)
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


def measure(
    client: Client, directory: Path, names: list[str], instances: list[dict[str, Any]], rounds: int
) -> list[list[float]]:
    """Of each round, after one that does not count: the command; of each unit `lmaps apply`, and its job."""
    run = bare(directory, names[0].partition("-")[0], instances)
    for name in names:
        client.call("create", unit=name, instances=instances)
    return [[run(), *(each for name in names for each in apply(client, name))] for _ in range(rounds + 1)][1:]


def told(text: str, values: list[float], form: Callable[[float], str]) -> str:
    """A line of the table."""
    numbers = (statistics.median(values), min(values), max(values))
    return "  ".join(f"{form(each):>8}" for each in numbers) + f"  {text}"


def main() -> None:
    """Measure, and print medians, and the medians of the differences and ratios of the rounds."""
    units = [unit(playbook, way) for playbook in PLAYBOOKS for way in ("cold", "warm")]
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        directory = Path(name)
        (directory / "page.j2").write_text("{{ web[0].host }}\n")
        for playbook, tasks in PLAYBOOKS.items():
            text = f"- hosts: all\n  gather_facts: false\n  tasks:\n    {tasks}\n"
            (directory / f"{playbook}.yml").write_text(text)
        with daemon(directory, *units, unit("one", "many")) as client:
            names = {playbook: [f"{playbook}-{way}" for way in ("cold", "warm")] for playbook in PLAYBOOKS}
            rounds = {each: measure(client, directory, names[each], FEW, ROUNDS) for each in PLAYBOOKS}
            many = measure(client, directory, ["one-many"], MANY, ROUNDS_OF_MANY)
    print(f"  median     least      most  what [ms, or a ratio; {ROUNDS} rounds, {ROUNDS_OF_MANY} of 10,000 instances]")
    for playbook, found in rounds.items():
        tell(playbook, found, ["cold", "warm"])
    tell("one, 10,000 instances", many, ["cold"])


def tell(what: str, found: list[list[float]], ways: list[str]) -> None:
    """The lines of one playbook."""
    milliseconds: Callable[[float], str] = lambda each: f"{each * 1000:.0f}"  # noqa: E731
    print(told(f"{what}: ansible-playbook", [each[0] for each in found], milliseconds))
    for number, way in enumerate(ways):
        whole = 1 + 2 * number
        print(told(f"{what}: lmaps apply, {way}", [each[whole] for each in found], milliseconds))
        print(told(f"{what}: the difference, {way}", [each[whole] - each[0] for each in found], milliseconds))
        print(told(f"{what}: job, {way}", [each[whole + 1] for each in found], milliseconds))
        ratios = [each[whole + 1] / each[0] for each in found]
        print(told(f"{what}: job time / command, {way}", ratios, lambda each: f"{each:.2f}"))


if __name__ == "__main__":
    main()
