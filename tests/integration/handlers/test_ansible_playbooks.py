"""Real playbooks of every kind: each has the right state, exit code, summary, and readable output."""

import contextlib
import os
import pwd
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmaps import Client
from tests.daemons import RunningDaemon, until

pytestmark = [
    pytest.mark.ansible,
    pytest.mark.skipif(
        not (Path(sys.executable).parent / "ansible-playbook").exists() and not shutil.which("ansible-playbook"),
        reason="ansible-playbook is not installed",
    ),
]

UNIT = """\
meta: {{name: {name}, data_type: YamlKeyList, store_key: sites, primary_key: name}}
handler: {{type: ansible_playbook, args: {{playbook: books/{name}.yml{args}}}}}
params: {{type: object, required: [name], properties: {{name: {{type: string}}}}}}
"""
HOME = "{{ lookup('env', 'HOME') }}"
HEAD = "- hosts: all\n  gather_facts: false\n  tasks:\n"
BOOKS = {
    "files": HEAD
    + f'    - {{name: copy, copy: {{dest: "{HOME}/copied", content: "{{{{ sites[0].name }}}}"}}}}\n'
    + f'    - {{name: render, template: {{dest: "{HOME}/rendered", src: page.j2}}}}\n'
    + "    - {name: ask, command: {argv: [echo, hello]}, changed_when: false}\n",
    "loop": HEAD + '    - {name: each, debug: {msg: "{{ item }}"}, loop: [one, two]}\n',
    "role": "- hosts: all\n  gather_facts: false\n  roles: [greet]\n",
    "failing": HEAD + "    - {name: breaks, command: 'sh -c \"echo why >&2; exit 3\"'}\n",
    "unreachable": HEAD + "    - {name: ask, ping: {}}\n",
    "syntax": "- hosts: [",
    "silent": HEAD + "    - {name: hidden, command: {argv: [echo, no-log-canary]}, no_log: true}\n",
    "async": HEAD.replace("  tasks:", f'  vars: {{ansible_async_dir: "{HOME}/async"}}\n  tasks:')
    + "    - {name: later, command: {argv: [sleep, '0.2']}, async: 20, poll: 1}\n",
    "handlers": HEAD
    + f'    - {{name: change, copy: {{dest: "{HOME}/notified", content: x}}, notify: restart}}\n'
    + "  handlers:\n    - {name: restart, command: {argv: ['true']}}\n",
}
EXPECTED: list[tuple[str, str, int, dict[str, int], list[str]]] = [
    ("files", "succeeded", 0, {"ok": 3, "changed": 2}, ["TASK [copy]", "changed: localhost", "TASK [ask]", "ok: localhost"]),
    ("loop", "succeeded", 0, {"ok": 1, "changed": 0}, ["ok: localhost (one)", "ok: localhost (two)"]),
    ("role", "succeeded", 0, {"ok": 1, "changed": 0}, ["TASK [greet : say]"]),
    ("failing", "failed", 2, {"failed": 1}, ["failed: localhost: ", "non-zero return code", "; why"]),
    ("unreachable", "failed", 4, {"failed": 1}, ["unreachable: "]),
    ("syntax", "failed", 4, {"ok": 0, "failed": 0}, []),
    ("silent", "succeeded", 0, {"ok": 1, "changed": 1}, ["TASK [hidden]", "changed: localhost"]),
    ("async", "succeeded", 0, {"ok": 1, "changed": 1}, ["changed: localhost"]),
    ("handlers", "succeeded", 0, {"ok": 2, "changed": 2}, ["HANDLER [restart]"]),
]  # fmt: skip


def test_playbooks_of_every_kind(start_daemon: Callable[..., RunningDaemon]) -> None:
    args = {"unreachable": ", inventory: 'no.such.host.invalid,', extra_args: [--timeout, '2']"}
    units = "---\n".join(UNIT.format(name=name, args=args.get(name, "")) for name in BOOKS)
    daemon = start_daemon(units, wait=False)
    books = daemon.unit_dir / "books"
    (books / "templates").mkdir(parents=True)
    (books / "templates" / "page.j2").write_text("{{ sites[0].name }}!\n")
    (books / "roles/greet/tasks").mkdir(parents=True)
    (books / "roles/greet/tasks/main.yml").write_text('- {name: say, debug: {msg: "hi"}}\n')
    for name, text in BOOKS.items():
        (books / f"{name}.yml").write_text(text)
    daemon.wait_ready()
    with Client(daemon.endpoint, timeout=60) as client:
        for name, state, rc, summary, output in EXPECTED:
            client.call("create", unit=name, instances=[{"name": "blog"}])
            number = client.call("apply", unit=name).job
            until(lambda n=number: client.call("job", job=n, wait_ms=20_000).extra["job"]["over"], within=90)
            extra = client.call("lines", job=number).extra
            text = "\n".join(line["text"] for line in extra["lines"])
            job: dict[str, Any] = extra["job"]
            assert (name, job["state"], job["rc"]) == (name, state, rc), text
            assert {key: job["summary"][key] for key in summary} == summary, f"{name}: {text}"
            for line in output:
                assert line in text, f"{name}: {text}"
            assert "Traceback" not in text
            assert "no-log-canary" not in text + str(extra["lines"])
    assert (daemon.directory / "rendered").read_text() == "blog!\n"
    assert (daemon.directory / "copied").read_text() == "blog"


STUBBORN = (
    HEAD
    + """\
    - {name: later, command: {argv: [sleep, '300']}, async: 300, poll: 0}
    - {name: detach, shell: "setsid sleep 300 & (setsid nohup sleep 300 >/dev/null 2>&1 &) ; trap '' TERM; sleep 300"}
"""
)
CANCELS = int(os.environ.get("CANCELS", "3"))


@pytest.mark.timeout(1800)
def test_a_cancelled_playbook_leaves_no_process(start_daemon: Callable[..., RunningDaemon]) -> None:
    """``CANCELS=100`` is the full measure."""
    daemon = start_daemon(UNIT.format(name="stubborn", args=""), wait=False)
    (daemon.unit_dir / "books").mkdir()
    (daemon.unit_dir / "books" / "stubborn.yml").write_text(STUBBORN)
    daemon.wait_ready()
    with Client(daemon.endpoint, timeout=60) as client:
        client.call("create", unit="stubborn", instances=[{"name": "a"}])
        for number in range(CANCELS):
            job = client.call("apply", unit="stubborn").job
            wanted = 1 if number % 3 == 0 else 4  # now and then before it has done everything
            until(lambda: _sleeping(daemon) >= wanted, within=60)  # noqa: B023
            reply = client.call("cancel", job=job)
            assert reply.extra["job"]["state"] == "cancelled", reply.extra
            assert reply.message.endswith("0 processes left")
            assert _others(daemon) == []


@pytest.mark.parametrize("warm", ["true", "false"])
def test_a_cancelled_playbook_leaves_no_arguments(start_daemon: Callable[..., RunningDaemon], warm: str) -> None:
    daemon = start_daemon(UNIT.format(name="busy", args=f", warm: {warm}"), wait=False)
    (daemon.unit_dir / "books").mkdir()
    (daemon.unit_dir / "books" / "busy.yml").write_text(
        HEAD + "    - command: {argv: [sleep, '300'], stdin: '{{ sites[0].name }}'}\n"
    )
    daemon.wait_ready()
    canary = f"canary-{secrets.token_hex(8)}"
    with Client(daemon.endpoint, timeout=60) as client:
        client.call("create", unit="busy", instances=[{"name": canary}])
        job = client.call("apply", unit="busy").job
        until(lambda: _sleeping(daemon), within=60)
        assert client.call("cancel", job=job).extra["job"]["state"] == "cancelled"
    homes = [Path(pwd.getpwuid(os.getuid()).pw_dir), daemon.directory]
    assert not [file for home in homes for file in (home / ".ansible").rglob("*") if _holds(file, canary)]


def _holds(file: Path, text: str) -> bool:
    with contextlib.suppress(OSError):  # another test's, and gone
        return text.encode() in file.read_bytes()
    return False


def _sleeping(daemon: RunningDaemon) -> int:
    return sum(b"sleep\x00300" in _command(pid) for pid in daemon.everything())


def _others(daemon: RunningDaemon) -> list[bytes]:
    """What runs beside the daemon itself."""
    return [command for pid in daemon.everything() if not (command := _command(pid)).startswith(b"lmapsd")]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b"lmapsd: gone"
