"""Real ansible-playbook: what a client sends is text, whatever it looks like."""

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps import Client
from lmaps.process import descendants
from lmaps.testing import SPECIAL_NAMES, hostile_texts
from tests.daemons import RunningDaemon, until

BESIDE = Path(sys.executable).parent / "ansible-playbook"
pytestmark = [
    pytest.mark.ansible,
    pytest.mark.skipif(
        not BESIDE.exists() and not shutil.which("ansible-playbook"), reason="ansible-playbook is not installed"
    ),
]

UNIT = """\
meta: {name: site, data_type: YamlKeyList, store_key: sites}
handler: {type: ansible_playbook, args: {playbook: site.yml}}
params:
  type: object
  properties:
    own: {type: string, default: "{{ 6 * 7 }}"}
"""
DUMP = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: write down what came
      copy: {dest: "{{ lookup('env', 'HOME') }}/came.json", content: "{{ sites | to_json }}"}
    - name: look at every key and value
      debug: {msg: "{{ item.key }} {{ item.value }}"}
      loop: "{{ sites[0].deep | dict2items }}"
      loop_control: {label: one}
"""
FAILING = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: fine
      debug: {msg: hello}
    - name: breaks
      command: sh -c 'echo why >&2; exit 3'
    - name: never
      debug: {msg: no}
"""


def apply(daemon: RunningDaemon, unit: str) -> tuple[dict[str, object], list[str]]:
    with Client(daemon.endpoint) as client:
        job = client.call("apply", unit=unit).job
        ended = until(lambda: _ended(client, job), within=90)
        return ended, [line["text"] for line in client.call("lines", job=job).extra["lines"]]


def _ended(client: Client, job: int | None) -> dict[str, object] | None:
    found: dict[str, object] = client.call("lines", job=job, after=10_000, wait_ms=2000).extra["job"]
    return found if found["state"] not in ("queued", "running") else None


def test_hostile_text_arrives_exact_and_inert(start_daemon: Callable[..., RunningDaemon], tmp_path: Path) -> None:
    daemon = start_daemon(UNIT, wait=False)
    (daemon.unit_dir / "site.yml").write_text(DUMP)
    daemon.wait_ready()
    sentinel = tmp_path / "sentinel"
    corpus = hostile_texts(sentinel)
    assert len(corpus) >= 80
    given = {
        "deep": {text: text for text in corpus},
        "list": corpus,
        "special": dict.fromkeys(SPECIAL_NAMES, corpus[0]),
        "__ansible_unsafe": "x",
        "__ansible_type": {"a": "b"},
    }
    with Client(daemon.endpoint) as client:
        client.call("create", unit="site", instances=[given])
    ended, output = apply(daemon, "site")
    assert ended["state"] == "succeeded", output
    came = json.loads((daemon.directory / "came.json").read_text())
    assert came == [given | {"own": came[0]["own"]}]
    assert str(came[0]["own"]) == "42"
    assert not sentinel.exists()


def test_a_failing_task_and_a_playbook_that_cannot_be_read(start_daemon: Callable[..., RunningDaemon]) -> None:
    daemon = start_daemon(UNIT, wait=False)
    playbook = daemon.unit_dir / "site.yml"
    playbook.write_text(FAILING)
    daemon.wait_ready()
    ended, output = apply(daemon, "site")
    assert (ended["state"], ended["rc"]) == ("failed", 2)
    assert ended["summary"] == {"ok": 1, "changed": 0, "failed": 1, "unknown": 0}
    assert output[:4] == ["PLAY [all]", "TASK [fine]", "ok: localhost", "TASK [breaks]"]
    assert re.match("failed: localhost: .*non-zero return code.*; why", output[4])
    playbook.write_text("- hosts: [")
    ended, output = apply(daemon, "site")
    assert (ended["state"], ended["rc"]) == ("failed", 4)
    assert "YAML" in "\n".join(output) or "yaml" in "\n".join(output)
    assert not list((daemon.directory / "jobs").glob("*/*")), "job folders are gone"


OPEN = """\
meta: {{name: open, data_type: YamlFile}}
handler: {{type: unchecked, args: {{playbook: open.yml, warm: {warm}}}}}
params: {{type: object, additionalProperties: false, patternProperties: {{"^[a-z_]+$": {{type: string}}}}}}
"""
UNCHECKED = """\
from lmaps.handlers.ansible import AnsiblePlaybook


class Unchecked(AnsiblePlaybook):
    "A plugin that has lost the check of its units: the names are checked once more."

    type = "unchecked"

    @classmethod
    def check(cls, unit):
        return []
"""
ASK = """\
- hosts: all
  gather_facts: false
  tasks:
    - {name: ask, ping: {}}
"""
REFUSED = (
    r"cannot apply open: 'ansible_python_interpreter' in instance [0-9a-f]{8} cannot be a variable: Ansible reserves the"
    r" name, or it is none; remove it there, or from the schema's defaults, and have the schema refuse it"
)


@pytest.mark.parametrize("warm", [True, False])
def test_a_client_cannot_name_the_python_that_modules_run_with(
    start_daemon: Callable[..., RunningDaemon], tmp_path: Path, warm: bool
) -> None:
    (tmp_path / "unchecked.py").write_text(UNCHECKED)
    unit = OPEN.format(warm=str(warm).lower())
    daemon = start_daemon(unit, workers=1, wait=False, plugin_dirs=[str(tmp_path)])
    (daemon.unit_dir / "open.yml").write_text(ASK)
    daemon.wait_ready()
    sentinel, program = tmp_path / "sentinel", tmp_path / "program"
    program.write_text(f'#!/bin/sh\ntouch {sentinel}\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    with Client(daemon.endpoint) as client:
        client.call("create", unit="open", instances=[{"relay": "a"}])
        ended, output = apply(daemon, "open")
        assert ended["state"] == "succeeded", output
        if warm:
            until(lambda: _helpers(daemon), within=60)
        client.call("create", unit="open", instances=[{"ansible_python_interpreter": str(program)}])
        ended, output = apply(daemon, "open")
        assert not sentinel.exists(), "the client's program was run"
        assert (ended["state"], output) == ("failed", [])
        assert re.fullmatch(REFUSED, str(ended["error"]))
        assert not list((daemon.directory / "jobs").glob("*/*")), "nothing of the job was written, or it is gone"
        planned = daemon.lmaps("plan", "open", "--check")
        assert planned.returncode != 0
        assert re.search(REFUSED, planned.stderr), planned.stderr
        client.call("rollback", unit="open")
        ended, output = apply(daemon, "open")
        assert ended["state"] == "succeeded", output
    assert not sentinel.exists(), "the client's program was run"


def _helpers(daemon: RunningDaemon) -> list[int]:
    """The processes that have Ansible loaded and wait for runs."""
    return [pid for pid in descendants(daemon.process.pid) if b"lmapsd: warm" in _shown(pid)]


def _shown(pid: int) -> bytes:
    """Its command line; nothing if it has just ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
