"""The template handler, run as the worker runs it: rendered aside, checked, moved into place, reloaded, or put back."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmaps.handlers.base import State
from lmaps.handlers.python_runner import as_program
from lmaps.model.units import Unit, parse_unit
from lmaps.util import yamlio

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TEMPLATE = "{% for row in state %}\nport {{ row.port }} {{ row.name }}\n{% endfor %}\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "t.j2").write_text(TEMPLATE)

    def made(rows: list[dict[str, Any]], action: str = "apply", **args: Any) -> "subprocess.CompletedProcess[str]":
        told = {"src": "t.j2", "dest": "out.conf"} | args
        text = json.dumps({"meta": {"name": "u"}, "handler": {"type": "template", "args": told}})
        unit: Unit = parse_unit(yamlio.load(text, file=str(tmp_path / "u.yaml"))[0])
        program = as_program(unit, State(unit, 1, rows, rows), tmp_path, [], action)
        return subprocess.run(
            program.argv,
            input=program.stdin.decode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )

    return made


def test_a_file_is_written_once_and_then_unchanged(run: Run, tmp_path: Path) -> None:
    rows = [{"port": 80, "name": "a"}]
    first = run(rows, mode="0640")
    assert (first.returncode, first.stdout) == (10, f"written: {tmp_path}/out.conf\n")
    assert (tmp_path / "out.conf").read_text() == "port 80 a\n"
    assert (tmp_path / "out.conf").stat().st_mode & 0o777 == 0o640
    again = run(rows)
    assert (again.returncode, again.stdout) == (0, f"unchanged: {tmp_path}/out.conf\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.conf", "t.j2"]


def test_what_a_client_sent_is_no_template(run: Run, tmp_path: Path) -> None:
    run([{"port": 1, "name": "{{ 6 * 7 }}{% raw %}"}])
    assert (tmp_path / "out.conf").read_text() == "port 1 {{ 6 * 7 }}{% raw %}\n"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("one\n{% for row in state %}\n{{ row.port + 1 }}\n{% endfor %}", ":3: can only concatenate str"),
        ("one\n{{ state[0].port | int(base='x') + row }}", ":2: "),
        ("one\n{{ state[0].nothing }}", ":2: 'dict object' has no attribute 'nothing'"),
        ("one\n{% for number in range(10 ** 9) %}{% endfor %}", ":2: Range too big"),
        ("one\n{% if %}", ":2: "),
    ],
)
def test_a_value_that_the_template_cannot_take_is_told_in_one_sentence(
    run: Run, tmp_path: Path, template: str, words: str
) -> None:
    (tmp_path / "t.j2").write_text(template)
    done = run([{"port": "80", "name": "a"}])
    assert done.returncode == 1
    assert done.stdout.startswith(f"cannot render {tmp_path}/t.j2{words}") and done.stdout.count("\n") == 1


def test_names_of_methods_and_values_with_line_breaks(run: Run, tmp_path: Path) -> None:
    """What the docs say of them: written as they are, unless the template quotes them."""
    (tmp_path / "t.j2").write_text(
        "{% for row in state %}{{ row['items'] }} {{ row.title }} {{ row.title | tojson }}{% endfor %}"
    )
    assert run([{"items": "mine", "title": "a\n{{ 7 * 6 }}"}]).returncode == 10  # changed
    assert (tmp_path / "out.conf").read_text() == 'mine a\n{{ 7 * 6 }} "a\\n{{ 7 * 6 }}"'


def test_a_preview_shows_the_difference_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.conf").write_text("port 80 a\n")
    shown = run([{"port": 81, "name": "a"}], "show", reload_cmd=["touch", f"{tmp_path}/reloaded"])
    assert (shown.returncode, "-port 80 a\n+port 81 a\n" in shown.stdout) == (10, True)
    assert (tmp_path / "out.conf").read_text() == "port 80 a\n"
    assert run([{"port": 80, "name": "a"}], "show").returncode == 0
    assert not (tmp_path / "reloaded").exists()


def test_a_failing_check_leaves_the_old_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.conf").write_text("old\n")
    done = run([{"port": 81, "name": "a"}], check_cmd=["sh", "-c", "cat $0; exit 3", "{file}"])
    assert done.returncode == 1
    assert "port 81 a\n" in done.stdout
    assert "its check ended with exit code 3; the old one stays" in done.stdout
    assert (tmp_path / "out.conf").read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.conf", "t.j2"]


def test_a_failing_reload_puts_the_old_file_back_and_says_both(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.conf").write_text("old\n")
    script = f"cat {tmp_path}/out.conf >> {tmp_path}/seen; grep -q old {tmp_path}/out.conf"
    done = run([{"port": 81, "name": "a"}], reload_cmd=["sh", "-c", script])
    assert done.returncode == 1
    assert (
        "its reload ended with exit code 1; the old one is back, and its reload ended with exit code 0" in done.stdout
    )
    assert (tmp_path / "out.conf").read_text() == "old\n"
    assert (tmp_path / "seen").read_text() == "port 81 a\nold\n"
    (tmp_path / "out.conf").unlink()
    assert run([], reload_cmd=["false"]).returncode == 1
    assert not (tmp_path / "out.conf").exists()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{% if %}", "t.j2:1"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ state.append(1) }}", "unsafe"),
    ],
)
def test_a_template_that_cannot_be_rendered(run: Run, tmp_path: Path, template: str, words: str) -> None:
    (tmp_path / "t.j2").write_text(template)
    done = run([{"port": 1, "name": "a"}])
    assert (done.returncode, words in done.stdout, "Traceback" in done.stdout) == (1, True, False), done.stdout
    assert not (tmp_path / "out.conf").exists()


def test_a_program_that_is_not_there_and_a_place_that_cannot_be_written(run: Run) -> None:
    done = run([], check_cmd=["/nothing/here"])
    assert "cannot start /nothing/here" in done.stdout
    assert run([], dest="/nothing/out").returncode == 1
