"""What holds for all rooms of the package."""

import re
from importlib import import_module
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "lmaps"


def test_every_module_is_imported_without_effect():
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        if "callback" not in name and not name.endswith("__main__"):
            import_module(name)


def test_every_room_has_its_tests():
    tests = "".join(path.read_text() for path in PACKAGE.parent.joinpath("tests").rglob("test_*.py"))
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert not [
        room for room in rooms - {"__init__", "__main__", "version"} if not re.search(rf"lmaps\.{room}\b", tests)
    ]


def test_nobody_inside_imports_the_documented_names():
    inside = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "core"]
    assert inside
    assert not [path for path in inside if "lmaps.core" in path.read_text()]
