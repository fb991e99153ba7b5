import socket

import pytest

from lmaps.core.daemon.report import describe, notify, tell
from lmaps.errors import ConfigError, Finding


def test_an_error_is_told_with_its_findings_and_the_next_step(capsys):
    finding = Finding("unknown property", ("rpc", "tiemout"), file="lmaps.yaml", line=3, column=5)
    tell(ConfigError("cannot use the configuration", errors=[finding], hint="see the reference"))
    assert capsys.readouterr().err.splitlines() == [
        "lmapsd: cannot use the configuration",
        "  lmaps.yaml:3:5  $.rpc.tiemout  unknown property",
        "  see the reference",
    ]


def test_a_finding_shows_only_what_is_known():
    assert describe(Finding("cannot be read")) == "cannot be read"
    assert describe(Finding("broken", file="u.yaml", line=1)) == "u.yaml:1  broken"


@pytest.mark.parametrize("abstract", [True, False])
def test_systemd_is_told_the_state(tmp_path, monkeypatch, abstract):
    name = f"lmaps-test-{tmp_path.name}-{id(tmp_path)}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name if abstract else name)
        notify("READY=1")
        assert listening.recv(64) == b"READY=1"


def test_nobody_is_told_where_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")
