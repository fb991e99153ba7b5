"""scripts/house.py on a small made-up house: what it draws and counts, and that it finds each thing it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.house import House

SCRIPT = Path(__file__).parents[2] / "scripts/house.py"
FLOORS = """
[[tool.importlinter.contracts]]
type = "layers"
containers = ["lmaps"]
layers = ["cli", "core.client : store", "errors"]
"""
TREE = {
    "__init__.py": "",
    "errors.py": "",
    "core/__init__.py": "",
    "core/client.py": "from lmaps.errors import Refused\n",
    "store/__init__.py": "from lmaps.store.rows import Row\n",
    "store/rows.py": "import lmaps.errors\n\nfrom lmaps.store import _fields\n",
    "store/_fields.py": "",
    "store/dialects/__init__.py": "",
    "store/dialects/sqlite.py": "from .. import rows\n",
    "cli.py": "def main():\n    from lmaps.core import client\n    return client\n",
}


def build(root: Path, changes: dict[str, str]) -> House:
    (root / "pyproject.toml").write_text(FLOORS)
    for name, text in (TREE | changes).items():
        file = root / "lmaps" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return House(root)


def test_rooms_are_packages_top_modules_and_what_the_floors_name(tmp_path):
    assert build(tmp_path, {}).room_graph == {
        "lmaps": set(),
        "lmaps.errors": set(),
        "lmaps.core": set(),
        "lmaps.core.client": {"lmaps.errors"},
        "lmaps.store": {"lmaps.errors"},
        "lmaps.store.dialects": {"lmaps.store"},
        "lmaps.cli": {"lmaps.core", "lmaps.core.client"},
    }


def test_the_drawing_ends_with_its_size(tmp_path):
    drawing = list(build(tmp_path, {}).drawing())
    assert drawing[0] == "  3 lmaps.cli -> lmaps.core lmaps.core.client"
    assert drawing[-1] == "rooms 7, floors 3, arrows 5"


REFUSED = {
    "circle of rooms: lmaps.core.client lmaps.store": {
        "core/client.py": "import lmaps.store",
        "store/rows.py": "if TYPE_CHECKING:\n    import lmaps.core.client",
    },
    "circle of modules: lmaps.store lmaps.store.rows": {"store/rows.py": "from lmaps.store import Row"},
    "upward: lmaps.store.rows imports lmaps.cli": {"store/rows.py": "def late():\n    import_module('lmaps.cli')"},
    "stand-in: lmaps/errors.py:2 sys.modules['re']": {"errors.py": "import sys\nsys.modules['re'] = 1"},
    "stand-in: lmaps/errors.py:1 sys.modules.update(re=1)": {"errors.py": "sys.modules.update(re=1)"},
    "private import: lmaps/errors.py:1 _socket": {"errors.py": "import _socket as socket"},
    "private import: lmaps/errors.py:1 re._parser": {"errors.py": "from re import _parser"},
    "private import: lmaps/errors.py:1 email._policybase": {"errors.py": "import email._policybase"},
    "private import: lmaps/errors.py:1 _signal.getsignal": {"errors.py": "from _signal import getsignal"},
}


@pytest.mark.parametrize("refusal", REFUSED)
def test_it_refuses(tmp_path, refusal):
    assert refusal in build(tmp_path, REFUSED[refusal]).refusals()


def test_a_module_that_was_loaded_from_a_file_is_no_stand_in(tmp_path):
    load = "module = importlib.util.module_from_spec(spec)\nsys.modules[name] = "
    assert build(tmp_path, {"errors.py": load + "module"}).refusals() == []
    assert build(tmp_path, {"errors.py": load + "other"}).refusals() == [
        "stand-in: lmaps/errors.py:2 sys.modules[name]"
    ]


def test_it_takes_what_is_allowed(tmp_path):
    text = "from __future__ import annotations\nimport sys\nfrom re import __doc__\nsys.modules['re'].compile('a')\n"
    assert build(tmp_path, {"errors.py": text}).refusals() == []


@pytest.mark.parametrize(("changes", "code"), [({}, 0), ({"errors.py": "import _socket"}, 1)])
def test_check_ends_with_1_when_anything_is_refused(tmp_path, changes, code):
    build(tmp_path, changes)
    done = subprocess.run([sys.executable, SCRIPT, "--check", tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "private import: lmaps/errors.py:1 _socket\n" * code)


def test_the_counts(tmp_path):
    text = """
        def find(told: Any, row: dict[str, Any]) -> None:
            '''Not a # comment, nor Any.'''
            for each in row["a"]:  # why
                row["b"] = each  # noqa: B909
            return row.get("c")[0]
        """
    counts = list(build(tmp_path, {"errors.py": "if 1:" + text}).counts())
    assert counts == [
        "Any 2",
        "look-ups by string 2",
        "comments 2 (13.3% of lines), 1 of them directives",
        "files 10, lines 15, files under 40 lines 10",
        "biggest folder lmaps, 3 files",
        "vague names 2: each 1, told 1",
        "functions 2, lines 5 / 5 / 5",
    ]
