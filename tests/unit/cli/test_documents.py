"""What comes in: names that cannot be read, text that cannot be sent."""

import io
import json
import sys

import pytest

from lmaps.cli import app
from lmaps.cli.documents import expand, read_documents, read_file
from lmaps.cli.session import Session
from lmaps.errors import UsageError
from tests.unit.cli.test_commands import StandIn


def run(*args, client=None, **settings):
    """Exit code and words of ``lmaps ARGS``."""
    stderr = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        app.start(list(args), Session(client=client, stdout=io.StringIO(), stderr=stderr, **settings))
    return ended.value.code, stderr.getvalue()


@pytest.mark.parametrize("read", [expand, lambda name: read_documents([name])])
def test_a_name_too_long_for_a_file_is_told(read):
    with pytest.raises(UsageError, match="cannot read a+: File name too long"):
        read("a" * 300)


def test_a_directory_means_its_files_sorted(tmp_path):
    for name in ("b.yml", "a.yaml", "c.json", "d.txt"):
        (tmp_path / name).touch()
    assert [name.rpartition("/")[2] for name in expand(str(tmp_path))] == ["a.yaml", "b.yml", "c.json"]
    assert expand("-") == ["-"]


def test_a_closed_stdin_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="cannot read stdin: it is closed"):
        read_file("-")


def test_documents_from_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"host: a\n---\nhost: b\n")))
    daemon = StandIn()
    assert run("create", "web", "-f", "-", client=daemon)[0] == 0
    assert daemon.asked == [("create", {"unit": "web", "instances": [{"host": "a"}, {"host": "b"}]})]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("show \udcff", "cannot send '\\udcff': it is not UTF-8\n"),
        ("rollback web -m a\udcff", "cannot send 'a\\udcff': it is not UTF-8\n"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_told(tmp_path, line, words):
    assert run(*line.split(), endpoint=f"ipc://{tmp_path}/none.sock") == (2, words)


def test_a_request_that_is_too_large_is_refused_before_it_is_sent(tmp_path):
    file = tmp_path / "many.json"
    file.write_text(json.dumps([{"t": "x" * 250_000}] * 70))
    code, words = run("create", "web", "-f", str(file), endpoint=f"ipc://{tmp_path}/none.sock")
    assert code == 2
    assert words.startswith("cannot send the request: it has 17,5")
    assert words.endswith("\n  split the documents over several requests\n")


@pytest.mark.parametrize(
    "line", ["rollback web -u api", "create web -u api --set a=1", "jobs web -u api", "validate web -u api -f x"]
)
def test_two_units_are_one_too_many(line):
    daemon = StandIn()
    code, words = run(*line.split(), client=daemon)
    assert (code, words.startswith("two units are named, web and api: name one")) == (2, True)
    assert daemon.asked == []
