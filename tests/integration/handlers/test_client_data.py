"""What clients send is data to every handler: it arrives byte for byte, and nothing of it is run."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import HandlerFailed
from lmaps.handlers.ansible import AnsiblePlaybook
from lmaps.handlers.ansible import variables as variables_of_ansible
from lmaps.handlers.base import UnitHandler
from lmaps.handlers.command import CommandHandler
from lmaps.handlers.noop import Noop
from lmaps.handlers.template import TemplateHandler
from lmaps.model.units import unit_from_definition
from lmaps.testing import SPECIAL_NAMES, Ran, hostile_texts, run
from lmaps.util import yamlio

BESIDE = Path(sys.executable).parent / "ansible-playbook"
needs_ansible = pytest.mark.skipif(not (BESIDE.exists() or shutil.which("ansible-playbook")), reason="needs Ansible")

COPY = """\
import json, os, pathlib, sys
here = pathlib.Path(sys.argv[0]).parent
(here / "argv.json").write_text(json.dumps(sys.argv[1:-1]))
(here / "environment.json").write_text(json.dumps(dict(os.environ)))
(here / "stdin").write_bytes(sys.stdin.buffer.read())
(here / "file").write_bytes(pathlib.Path(sys.argv[-1]).read_bytes())
"""
TEMPLATE = """\
{%- for row in state -%}
{{ row.text }}\x1e{{ row['text'] }}\x1e{% for key, value in row.deep | dictsort %}{{ key }}\x1f{{ value }}\x1e{% endfor -%}
{%- endfor -%}
"""
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - {name: ask, ping: {}}
    - {name: look, debug: {msg: "{{ site_text | default('') }}"}}
"""


def documents(sentinel: Path) -> list[dict[str, Any]]:
    texts = hostile_texts(sentinel)
    assert len(texts) >= 80
    return [{"text": text, "deep": dict.fromkeys([text, *SPECIAL_NAMES], text)} for text in texts]


def run_unit(handler: type[UnitHandler], directory: Path, instances: list[dict[str, Any]], **args: Any) -> Ran:
    """Run a unit that no load has checked."""
    meta: dict[str, Any] = {"name": "u"}
    if handler is AnsiblePlaybook:
        meta["data_type"] = "YamlFile"
    definition = {"meta": meta, "handler": {"type": handler.type, "args": args}}
    return run(handler, unit_from_definition(definition, directory), instances)


def test_a_command(tmp_path: Path) -> None:
    (tmp_path / "copy.py").write_text(COPY)
    sent = documents(tmp_path / "sentinel")
    done = run_unit(
        CommandHandler,
        tmp_path,
        sent,
        argv=[sys.executable, str(tmp_path / "copy.py"), "$HOME", "{state}"],
        environment={"OWN": "{{ 1 }}"},
    )
    assert done.succeeded, done.output
    assert json.loads((tmp_path / "stdin").read_bytes()) == sent
    assert (tmp_path / "file").read_bytes() == (tmp_path / "stdin").read_bytes()
    assert json.loads((tmp_path / "argv.json").read_text()) == ["$HOME"]
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["OWN"] == "{{ 1 }}"
    assert not set(environment.values()) & {row["text"] for row in sent if row["text"]}
    assert not (tmp_path / "sentinel").exists()


def test_a_template(tmp_path: Path) -> None:
    (tmp_path / "t.j2").write_text(TEMPLATE)
    sent = documents(tmp_path / "sentinel")
    done = run_unit(TemplateHandler, tmp_path, sent, src="t.j2", dest="out")
    assert done.succeeded, done.output
    expected = "".join(
        f"{row['text']}\x1e" * 2
        + "".join(f"{key}\x1f{row['deep'][key]}\x1e" for key in sorted(row["deep"], key=str.lower))
        for row in sent
    )
    assert (tmp_path / "out").read_bytes() == expected.encode()
    assert not (tmp_path / "sentinel").exists()


def test_noop(tmp_path: Path) -> None:
    sent = [{"text": row["text"]} for row in documents(tmp_path / "sentinel") if row["text"].isprintable()]
    done = run_unit(Noop, tmp_path, sent)
    assert done.succeeded
    assert yamlio.load(done.output)[0].value == sent
    assert not (tmp_path / "sentinel").exists()


def hostile_program(directory: Path) -> tuple[str, Path]:
    program, sentinel = directory / "program", directory / "sentinel"
    program.write_text(
        f'#!/bin/sh\ntouch {sentinel}\ncase $1 in *.py|-*) exec {sys.executable} "$@";; esac\nexec "$@"\n'
    )
    program.chmod(0o755)
    return str(program), sentinel


@pytest.mark.ansible
@needs_ansible
@pytest.mark.parametrize("name", ["ansible_python_interpreter", "ansible_shell_executable"])
def test_the_check_of_names_is_what_protects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    program, sentinel = hostile_program(tmp_path)

    def run_it(**document: str) -> Ran:
        return run_unit(AnsiblePlaybook, tmp_path, [document], playbook="play.yml")

    with pytest.raises(HandlerFailed, match=f"'{name}' in instance .* cannot be a variable"):
        run_it(**{name: program})
    assert not sentinel.exists()
    monkeypatch.setattr(variables_of_ansible, "is_usable", lambda _name: True)
    run_it(**{name: program})
    assert sentinel.exists(), "nothing was run although nothing was checked: this test proves nothing"


@pytest.mark.ansible
@needs_ansible
def test_the_mark_of_text_is_what_protects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    sentinel = tmp_path / "sentinel"
    text = "{{ lookup('pipe', 'touch " + str(sentinel) + "') }}"
    done = run_unit(AnsiblePlaybook, tmp_path, [{"site_text": text}], playbook="play.yml")
    assert done.succeeded, done.output
    assert not sentinel.exists()
    monkeypatch.setattr(variables_of_ansible, "mark", lambda completed, _given: completed)
    run_unit(AnsiblePlaybook, tmp_path, [{"site_text": text}], playbook="play.yml")
    assert sentinel.exists(), "nothing was run although nothing was marked: this test proves nothing"
