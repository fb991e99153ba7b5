"""The examples are real: each unit takes an instance and is applied."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps import Client
from tests.daemons import BIN, RunningDaemon

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "greetings": ({"name": "Ann"}, "greetings.txt", "Good morning, Ann!\n"),
    "mail": (
        {"sender": "root@example.org", "admins": ["a@example.org", "b@example.org"]},
        "mail.conf",
        "relay = localhost\nsender = root@example.org\nadmins = a@example.org, b@example.org\nsignature = sent through localhost\n",
    ),
    "packages": ({"name": "nginx", "version": "1.22"}, None, "install nginx=1.22"),
    "site": ({"name": "www", "title": "<b>{{ 7 }}</b>"}, "www/www/index.html", "<h1>&lt;b&gt;{{ 7 }}&lt;/b&gt;</h1>"),
    "vhosts": ({"host": "a.example.org", "tls": True}, "vhosts/a.example.org.conf", "listen 80 ssl;"),
}


def test_every_example_unit_is_tried() -> None:
    assert {path.stem for path in (ROOT / "examples/units").glob("*.yaml")} == EXAMPLES.keys()


@pytest.mark.ansible
@pytest.mark.skipif(not (BIN / "ansible-playbook").exists(), reason="ansible-playbook is not installed")
def test_every_example_is_applied(start_daemon: Callable[..., RunningDaemon], short_path: Path) -> None:
    shutil.copytree(ROOT / "examples", short_path / "examples")
    directories = {"unit_dirs": [f"{short_path}/examples/units"], "plugin_dirs": [f"{short_path}/examples/handlers"]}
    daemon = start_daemon("", **directories)
    assert daemon.lmaps("unit", "check", f"{short_path}/examples/units").returncode == 0
    for name, (document, file, text) in EXAMPLES.items():
        with Client(daemon.endpoint) as client:
            client.call("create", unit=name, instances=[document])
        applied = daemon.lmaps("apply", name)
        assert applied.returncode == 0, applied.stderr
        assert text in ((daemon.directory / file).read_text() if file else applied.stderr)
    assert {row["condition"] for row in daemon.data("units")} == {"in sync"}
