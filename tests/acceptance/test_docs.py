"""Docs are tested: what they show is run, what they link is there, what they list is what the code has."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lmaps.cli import app
from lmaps.config.settings import SCHEMA
from tests.daemons import BIN

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOP = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text())


def run_blocks(page: Path, directory: Path, home: Path) -> str:
    """Run a page's shell blocks as one script on a terminal, and end the daemon that it starts; what was printed."""
    script = directory / "script.sh"
    lines = [line for kind, text in blocks(page) if kind == "sh" for line in text.splitlines()]
    script.write_text("\n".join(["set -m", *(line for line in lines if not line.startswith("make ")), "wait"]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LMAPS_", "XDG_"))}
    done = subprocess.run(
        ["script", "-qec", f"bash {script}", "/dev/null"],
        cwd=directory,
        env=environment | {"HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )
    return done.stdout.decode().replace("\r", "")


def expect(page: Path, output: str) -> None:
    """Every block without a language is output: its lines come in this order."""
    for kind, text in blocks(page):
        if not kind:
            place = 0
            for line in text.splitlines():
                found = output.find(line, place)
                assert found >= 0, f"{page.name}: not printed: {line!r}\n{output}"
                place = found


@pytest.mark.ansible
@pytest.mark.skipif(not (BIN / "ansible-playbook").exists(), reason="ansible-playbook is not installed")
def test_the_readme_word_for_word(short_path: Path) -> None:
    for name in ("lmaps.yaml", "examples"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, short_path / name)
    output = run_blocks(ROOT / "README.md", short_path, short_path)
    expect(ROOT / "README.md", output)
    assert "job 1 succeeded" in output
    assert "Traceback" not in output
    assert (short_path / "www/blog/index.html").exists()


def test_the_tutorial_word_for_word(short_path: Path) -> None:
    output = run_blocks(ROOT / "docs/tutorial.md", short_path, short_path)
    expect(ROOT / "docs/tutorial.md", output)
    assert "Traceback" not in output


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as its host makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda page: page.name)
def test_python_in_the_docs_is_python_and_its_names_are_there(page: Path) -> None:
    for kind, text in blocks(page):
        if kind == "python":
            imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
            exec(compile(ast.Module([*imports], []), page.name, "exec"), {})  # noqa: S102 (our own docs)


def test_the_reference_is_what_the_code_says() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/reference.py", "--check"], check=True)


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    assert not [
        page for page in PAGES[1:] if page.name != "index.md" and str(page.relative_to(ROOT / "docs")) not in index
    ]


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda page: page.name)
def test_files_that_the_docs_name_are_there(page: Path) -> None:
    top = r"lmaps|tests|scripts|migrations|docs|examples|packaging"
    for name in re.findall(rf"`((?:{top})/[a-z\d_/.-]+\.(?:py|md|yaml|json))`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_the_architecture_has_the_floors_and_files_of_the_code() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    floors = [" | ".join(re.findall(r"`(\w+)`", row)) for row in re.findall(r"^\| \d+ \|(.*)\|$", page, re.MULTILINE)]
    assert floors == layers
    rooms = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(rooms) == sorted(room for layer in layers for room in layer.split(" | "))
    for name in re.findall(r"`([a-z_]+(?:/\w+)*\.py)`", page):
        assert (ROOT / "lmaps" / name).exists() or (ROOT / name).exists(), name


def test_every_command_is_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert not [name for name in app.COMMANDS if name not in changelog and name != "attach"]


def test_the_readme_reaches_a_runnable_line_soon() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert (
        lines.index("make demo    # set up, then run the whole story: daemon, instances, Ansible, rollback, export")
        < 30
    )


def test_the_shipped_configuration_knows_only_documented_keys() -> None:
    from lmaps.config.load import load_config

    loaded = load_config(str(ROOT / "lmaps.yaml")).to_dict()
    assert loaded.keys() - {"file", "uid", "document"} == SCHEMA["properties"].keys()
