"""Plans: what an apply would do, told and not done."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemons import WEB, RunningDaemon

Start = Callable[..., RunningDaemon]

SITE = """\
meta: {name: site, data_type: YamlKeyList, store_key: sites, primary_key: name}
handler: {type: ansible_playbook, args: {playbook: site.yml}}
params: {type: object, required: [name], properties: {name: {type: string}}}
"""
PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: write
      copy: {dest: "{{ lookup('env', 'HOME') }}/site", content: "{{ sites | map(attribute='name') | join(' ') }}"}
    - name: run
      command: touch "{{ lookup('env', 'HOME') }}/ran"
    - name: not now
      command: "true"
      when: false
"""


def test_the_desired_state_against_the_applied_one(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    nothing = daemon.lmaps("plan", "web", "-o", "table")
    assert (nothing.stdout, nothing.stderr, nothing.returncode) == ("", "0 to add, 0 to change, 0 to delete\n", 0)
    daemon.lmaps("create", "web", "--set", "host=www.example.org", "--set", "port=8080")
    planned = daemon.lmaps("plan", "web", "-o", "table")
    assert (planned.stdout, planned.stderr, planned.returncode) == (
        "+ www.example.org  port=8080 tls=false\n", "1 to add, 0 to change, 0 to delete\n", 1,
    )  # fmt: skip
    daemon.lmaps("apply", "web")
    assert daemon.lmaps("plan", "web").returncode == 0
    daemon.lmaps("set", "web", "www.example.org", "--set", "tls=true")
    (daemon.directory / "api.yaml").write_text("host: api.example.org\n")
    done = daemon.lmaps("plan", "web", "-f", "api.yaml", "-o", "json")
    told = json.loads(done.stdout)
    assert (told["version"], told["applied"], told["add"], told["change"], done.returncode) == (1, 1, 1, 1, 1)
    assert daemon.data("status")["revision"] == 2
    assert daemon.data("jobs")[0]["job"] == 1
    refused = daemon.lmaps("plan", "web", "-f", "api.yaml", "--check")
    assert refused.returncode == 2


def test_a_handler_without_a_check_mode_says_so(start_daemon: Start) -> None:
    daemon = start_daemon(f"meta: {{name: c}}\nhandler: {{type: command, args: {{argv: ['true']}}}}\n---\n{WEB}")
    done = daemon.lmaps("plan", "c", "--check")
    assert (done.returncode, "its handler command has no check mode" in done.stderr) == (5, True)
    assert daemon.lmaps("plan", "web", "--check").returncode == 0
    assert [(job["kind"], job["state"]) for job in daemon.data("jobs")] == [("plan", "succeeded")]
    assert daemon.data("units")[1]["applied"] is None


@pytest.mark.ansible
@pytest.mark.skipif(
    not (Path(sys.executable).parent / "ansible-playbook").exists() and not shutil.which("ansible-playbook"),
    reason="ansible-playbook is not installed",
)
def test_ansibles_check_mode_with_what_it_cannot_tell(start_daemon: Start) -> None:
    daemon = start_daemon(SITE, wait=False)
    (daemon.unit_dir / "site.yml").write_text(PLAYBOOK)
    daemon.end()
    daemon.start()
    daemon.wait_ready()
    daemon.lmaps("create", "site", "--set", "name=blog")
    done = daemon.lmaps("plan", "site", "--check")
    assert (done.returncode, "job 1: plan site r1" in done.stderr) == (1, True), done.stderr
    assert "+blog" in done.stderr
    assert "unknown: localhost" in done.stderr
    assert "ok 1, changed 1, failed 0, unknown 1" in done.stderr
    assert not (daemon.directory / "site").exists()
    assert not (daemon.directory / "ran").exists()
    assert daemon.data("units")[0]["applied"] is None
