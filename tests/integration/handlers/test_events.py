"""Whatever a tool writes as events, and whatever its secrets are: the job ends, the worker lives, nothing leaks."""

import json
import sys
from collections.abc import Callable

import pytest

from lmaps import Client
from lmaps.model.diff import leaves
from tests.daemons import RunningDaemon

Start = Callable[..., RunningDaemon]

UNIT = """\
meta: {name: tool, data_type: YamlKeyList, store_key: rows, primary_key: id}
handler: {type: ansible_playbook, args: {playbook: site.yml, program: ./tool, warm: false}}
params:
  type: object
  required: [id]
  properties: {id: {type: string}, secret: {x-lmaps-secret: true}}
"""
TOOL = """\
#!{python}
import os, pathlib
with os.fdopen(int(os.environ["LMAPS_EVENT_FD"]), "wb") as events:
    events.write(pathlib.Path({directory!r}, "events").read_bytes())
"""
STATS = {"localhost": {"ok": 1, "changed": 1, "failures": 0, "unreachable": 0}}


def ok(**more: object) -> str:
    """The events of a run with one changed task, as Ansible's callback writes them."""
    task = {"event": "runner_on_ok", "text": "changed: localhost", "host": "localhost", "task": "one", "changed": True}
    return (
        "\n".join(json.dumps(event) for event in (task | more, {"event": "playbook_on_stats", "hosts": STATS})) + "\n"
    )


WORDS = {"changed", "failures", "playbook_on_stats"}
COUNTED = {"ok": 1, "changed": 1, "failed": 0, "unknown": 0}
RUNS: list[tuple[str, object, str, dict[str, int] | None]] = [
    ("an integer", 1234567, ok(item=1234567, message="port 1234567"), COUNTED),
    ("a number", 1234.5678, ok(item=[1234.5678]), COUNTED),
    ("the name of a field", "changed", ok(), COUNTED),
    ("a name in the statistics", "failures", ok(), COUNTED),
    ("the kind of an event", "playbook_on_stats", ok(), COUNTED),
    ("syntax of JSON", '", "host": "', ok(message='", "host": "'), COUNTED),
    ("a quotation mark and a backslash", 'pass"\\word', ok(message='pass"\\word', **{'pass"\\word': 1}), COUNTED),
    ("the name of a field of its own", "canary", ok(canary={"a canary": 1}), COUNTED),
    ("a kind of its own", "canary", '{"event": "canary"}\n' + ok(), COUNTED),
    ("a list", ["canary-1", {"in": "canary-2"}], ok(item={"canary-1": "canary-2"}), COUNTED),
    ("no JSON", "canary", "{\n[]\nnull\n\n" + ok(), COUNTED),
    ("no UTF-8", "canary", "\udcff{}\n" + ok(), COUNTED),
    ("nested deeply", "canary", '{"a": ' + "[" * 30_000 + "]" * 30_000 + "}\n" + ok(), COUNTED),
    ("large numbers", "canary", '{"a": 1e999}\n{"a": NaN}\n{"a": ' + "9" * 5000 + "}\n" + ok(), COUNTED),
    ("half a character", "canary", '{"event": "x", "text": "\\ud800"}\n' + ok(), COUNTED),
    ("a text that is none", "canary", '{"event": "x", "text": {"a": [1]}}\n' + ok(), COUNTED),
    ("statistics of another kind", "canary", '{"event": "playbook_on_stats", "hosts": {"a": {}}}\n', None),
    ("statistics that are none", "canary", '{"event": "playbook_on_stats", "hosts": 7}\n', None),
    ("counts that are none", "canary", ok().replace('"ok": 1', '"ok": "canary"'), None),
    ("counts without end", "canary", ok().replace('"ok": 1', '"ok": 9223372036854775807') * 2, None),
]


@pytest.mark.parametrize(("secret", "events", "summary"), [run[1:] for run in RUNS], ids=[run[0] for run in RUNS])
def test_a_job_survives_its_events(
    start_daemon: Start, secret: object, events: str, summary: dict[str, int] | None
) -> None:
    daemon = start_daemon(UNIT, wait=False)
    (daemon.unit_dir / "site.yml").write_text("[]\n")
    (daemon.unit_dir / "events").write_bytes(events.encode(errors="surrogateescape"))
    tool = daemon.unit_dir / "tool"
    tool.write_text(TOOL.format(python=sys.executable, directory=str(daemon.unit_dir)))
    tool.chmod(0o755)
    daemon.wait_ready()
    with Client(daemon.endpoint, timeout=30) as client:
        before = client.call("status").extra["workers"]
        client.call("create", unit="tool", instances=[{"id": "a", "secret": secret}])
        applied = daemon.lmaps("apply", "tool")
        job = client.call("job", job=1).extra["job"]
        after = client.call("status").extra["workers"]
        lines = client.call("lines", job=job["job"]).extra["lines"]
    assert (job["state"], job["summary"]) == ("succeeded", summary), applied.stderr + daemon.output()
    started = {worker["pid"] for worker in before} - {None}
    assert started <= {worker["pid"] for worker in after}, daemon.output()
    # A word of the tool itself stays: a mask in its place would only tell that the secret is this word.
    texts = {str(part) for line in lines for path, leaf in leaves(line) for part in (*path, leaf)} - WORDS
    hidden = ["canary-1", "canary-2"] if isinstance(secret, list) else [str(secret)]
    assert not [(secret, text) for secret in hidden for text in texts if secret in text]
