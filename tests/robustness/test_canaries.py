"""Secrets that would sing: none is anywhere but where it was asked for; and nothing of a client is in any argv."""

import base64
import contextlib
import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import LmapsError
from tests.daemons import BIN, RunningDaemon
from tests.robustness.canaries import PRINTING
from tests.robustness.disks import require_strace

Start = Callable[..., RunningDaemon]
UNIT = f"""\
meta: {{name: vault, primary_key: id, strict: true}}
handler: {{type: command, args: {{argv: [sh, -c, {json.dumps(PRINTING)}]}}}}
params:
  type: object
  required: [id]
  properties:
    id: {{type: string}}
    note: {{type: string}}
    password: {{type: string, writeOnly: true}}
    pins: {{type: array, items: {{type: object, properties: {{pin: {{type: integer, x-lmaps-secret: true}}}}}}}}
    login: {{type: object, writeOnly: true, additionalProperties: {{type: string}}}}
"""
FORMS = ("{}", '{} "quoted"', "first line\n{}\nlast line", "ümlaut {} €", "back\\slash {}", "{}" + "=" * 3000)


SONG = re.compile(rb"canary[0-9]{12}x|[1-9][0-9]{14}")


class Canaries:
    """Documents of the unit ``vault``, each with four secrets."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.sung: set[str] = set()

    def _word(self) -> str:
        word = f"canary{self._rng.randrange(10**12):012d}x"
        self.sung.add(word)
        return self._rng.choice(FORMS).format(word)

    def _number(self) -> int:
        number = self._rng.randrange(10**14, 10**15)
        self.sung.add(str(number))
        return number

    def document(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "note": "n" * 9000,
            "password": self._word(),
            "pins": [{"pin": self._number()}],
            "login": {"user": self._word(), "key": self._word()},
        }

    def heard_in(self, data: bytes) -> set[str]:
        """Those that can be found, as they stand or in base64, at any place."""
        texts = [data]
        for run in re.findall(rb"[A-Za-z0-9+/]{24,}", data):
            shifted = (run[shift:] for shift in range(4))
            texts += [base64.b64decode(each[: len(each) // 4 * 4]) for each in shifted]
        return {word for text in texts for word in map(bytes.decode, SONG.findall(text)) if word in self.sung}


def _round(daemon: RunningDaemon, canaries: Canaries, documents: list[dict[str, Any]]) -> str:
    """Do with secrets whatever can be done, successfully and not; what was said to whoever did it."""
    said: list[str] = []

    def run(*args: str, codes: tuple[int, ...] = (0,), stdin: Any = None) -> None:
        done = daemon.lmaps(*args, stdin=json.dumps(stdin) if stdin is not None else "")
        assert done.returncode in codes, done
        said.append(done.stdout + done.stderr)

    names = [document["id"] for document in documents]
    run("create", "vault", "-f", "-", stdin=documents)
    run("apply", "vault", "--verbose")
    (daemon.directory / "fail").touch()
    changed = canaries.document(names[0])
    run("set", "vault", names[0], "-f", "-", "--apply", stdin=changed, codes=(6,))
    (daemon.directory / "fail").unlink()
    run("set", "vault", names[0], "-f", "-", stdin=changed | {"password": ["no string"], "pins": 7}, codes=(3,))
    run("create", "vault", "-f", "-", stdin=canaries.document(names[0]), codes=(5,))
    run("diff", "vault", "@~1", "@", "-o", "json", codes=(1,))
    run("history", "vault", "--diff", "-o", "json", "--limit", "3")
    run("blame", "vault", names[0], "-o", "json")
    run("plan", "vault", "-o", "json", codes=(0, 1))
    run("export", "--json")
    run("export", "--tree", f"{names[0]}.tree")
    run("rollback", "vault", "-o", "json")
    run("redo", "vault", "-o", "json")
    run("backup", f"{names[0]}.backup")
    run("audit", "-o", "json", "--limit", "100")
    run("jobs", "-o", "json")
    for row in daemon.data("jobs")[:3]:
        run("logs", str(row["job"]))
        run("logs", str(row["job"]), "--events", "-o", "json")
    run("delete", "vault", *names)
    return "".join(said)


def test_no_canary_sings(
    start_daemon: Start,
    rounds: Callable[[int, int], int],
    seed: int,
    figure: Callable[[str, str], None],
) -> None:
    daemon = start_daemon(UNIT, wait=False, state_key="state.key", log={"level": "debug", "format": "json"})
    daemon.process.wait(20)
    key = daemon.directory / "state.key"
    key.write_text("A" * 43 + "=")
    key.chmod(0o600)
    daemon.start()
    daemon.wait_ready()
    canaries, count, said, turns = Canaries(seed), rounds(40, 1000), "", 0
    first = json.dumps(canaries.document("a")).encode()
    assert len(canaries.heard_in(first)) == 4, "they are heard where they are"
    assert len(canaries.heard_in(base64.b64encode(first))) == 4
    while len(canaries.sung) < count:
        said += _round(daemon, canaries, [canaries.document(f"i{turns}-{each}") for each in range(8)])
        said += "".join(_told(daemon, canaries, f"i{turns}-0"))
        turns += 1
    places = {path: path.read_bytes() for path in daemon.directory.rglob("*") if path.is_file()}
    daemon.end(signal.SIGTERM)
    places |= {path: path.read_bytes() for path in daemon.directory.rglob("*") if path.is_file()}
    assert daemon.directory / "lmaps.db-wal" in places
    assert said.count("(secret)") > turns * 8
    heard = {str(path): found for path, data in places.items() if (found := canaries.heard_in(data))}
    if found := canaries.heard_in(said.encode()):
        heard["an answer"] = found
        print(next(line for line in said.splitlines() if min(found) in line)[:2000])
    assert not heard
    figure("T9 secrets at rest and in what is shown", f"{len(canaries.sung)} canaries, {len(places)} files: 0 hits")


def _told(daemon: RunningDaemon, canaries: Canaries, name: str) -> Iterator[str]:
    """What programs are told that ask for odd things, with secrets in them."""
    with daemon.client() as client:
        for verb, args in (
            ("create", {"unit": "vault", "instances": [canaries.document(name) | {"id": 7}]}),
            ("set", {"unit": "vault", "id": name, "instance": canaries.document(name), "if_rev": "r1"}),
            ("set", {"unit": "vault", "id": name, "set": {"login.key": canaries.document(name)["login"]}}),
            ("import", {"units": [{"unit": "vault", "instances": [canaries.document("x") | {"note": 1}]}]}),
        ):
            with contextlib.suppress(LmapsError):
                yield str(client.call(verb, **args).to_json())
                continue
            reply = client.request({"verb": verb, "args": args})
            yield json.dumps(reply)
        yield json.dumps(client.request({"show_summary": True, "unit_name": "vault"}))


PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: look at everybody
      ansible.builtin.command: {argv: [sh, -c, "for p in /proc/[0-9]*; do cat $p/cmdline $p/environ; done > $HOME/seen || :"]}
    - name: use it
      ansible.builtin.copy: {dest: "{{ lookup('env', 'HOME') }}/made", content: "{{ sites | length }}"}
"""
ANSIBLE = """\
meta: {name: site, data_type: YamlKeyList, store_key: sites, primary_key: id}
handler: {type: ansible_playbook, args: {playbook: ../p.yml, warm: %s}}
params: {type: object, required: [id], properties: {id: {type: string}, note: {type: string}, pin: {type: string, writeOnly: true}}}
"""


@contextlib.contextmanager
def executions(pids: list[int], file: Path) -> Iterator[None]:
    """Within the block every execve below these processes is written down, arguments and environment as a whole."""
    attach = [option for pid in pids for option in ("-p", str(pid))]
    command: list[str | Path] = [
        "strace",
        "-f",
        "-v",
        "-s",
        "100000",
        "-e",
        "trace=execve,execveat",
        "-o",
        file,
        *attach,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        for _ in pids:
            assert "attached" in tracer.stderr.readline()
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=20)


@pytest.mark.ansible
@pytest.mark.skipif(not (BIN / "ansible-playbook").exists(), reason="ansible-playbook is not installed")
@pytest.mark.parametrize("warm", ["false", "true"])
def test_nothing_of_a_client_is_in_an_argv_or_an_environment(
    start_daemon: Start, warm: str, tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    require_strace()
    daemon = start_daemon(f"{ANSIBLE % warm}---\n{UNIT}", workers=1)
    (daemon.directory / "p.yml").write_text(PLAYBOOK)
    assert daemon.lmaps("reload").returncode == 0
    trace = tmp_path / "trace"
    documents = [{"id": f"canary-id-{n}", "note": f"canary-note-{n} $(id)", "pin": f"canary-pin-{n}"} for n in range(5)]
    with executions([daemon.process.pid, *daemon.children()], trace), daemon.client(timeout=100) as client:
        client.call("create", unit="site", instances=documents)
        client.call("create", unit="vault", instances=[Canaries(1).document("canary-vault")])
        for unit in ("vault", "site"):
            job = client.call("apply", unit=unit).job
            ended = client.call("job", job=job, wait_ms=90_000).extra["job"]
            assert ended["state"] == "succeeded", daemon.lmaps("logs", str(job)).stdout
    told, seen = trace.read_bytes(), (daemon.directory / "seen").read_bytes()
    assert (daemon.directory / "made").read_text() == "5"
    assert b"ansible" in seen
    assert os.fsencode(daemon.directory) in seen
    assert re.findall(rb"canary[-0-9]", told + seen) == []
    count = told.count(b"execve(")
    assert count > 3
    figure(
        "T1 values in argv or environment",
        f"{count} execve of two applies ({'warm' if warm == 'true' else 'cold'}), all of /proc meanwhile: 0 values",
    )
