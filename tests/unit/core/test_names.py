"""Every name of the original's reference exists at its path; what each does is tested in its room."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

STORE = (
    "setup new_store exists state rollback store_files get_current_store_dir get_rollback_store_dir "
    "store_key store_root current_dir rollback_dir"
).split()
NAMES = {
    "client": {"Client": ["request"]},
    "config": {"extend_with_default": [], "find_config_file": [], "load_config": []},
    "daemon": {"Daemon": ["make_workers", "manage_workers", "run", "start_workers", "threads"]},
    "data": {"DataStore": STORE, "YamlFile": STORE, "YamlList": STORE, "YamlKeyList": STORE, "YamlKeyDict": STORE},
    "handlers": {
        "Handler": ["context", "setup"],
        "ManagerHandler": ["client_request", "create_or_apply"],
        "UnitHandler": ["setup"],
    },
    "manager": {"Manager": ["run_task", "setup_args", "start", "socket_type", "manager_socket_type"]},
    "shell": {"get_parser": [], "print_response": [], "start": []},
    "tasks": {
        "error_message": [],
        "get_worker_config": [],
        "get_worker_units": [],
        "get_worker_units_instances": [],
        "no_work": [],
        "rollback_worker_units_instances": [],
        "stop_worker_thread": [],
        "validate_instance": [],
    },
    "utils": {
        "OpenThread": ["isAlive", "start", "stop"],
        "Threader": ["isAlive", "start", "stop"],
        "client_message": [],
        "get_data_type_by_name": [],
        "get_unit_by_name": [],
        "validate_unit_instance": [],
    },
    "worker": {"Worker": ["setup_args", "start", "stop", "socket_type"]},
}
FOUND = [(module, name) for module, names in NAMES.items() for name in names]


@pytest.mark.parametrize(("module", "name"), FOUND)
def test_the_name_is_there_and_says_what_it_does(module, name):
    found = getattr(import_module(f"lmaps.core.{module}"), name)
    assert inspect.getdoc(found)
    for member in NAMES[module][name]:
        assert hasattr(found, member), f"{name}.{member}"


@pytest.mark.parametrize(("module", "name"), FOUND)
def test_the_name_is_documented(module, name):
    page = (Path(__file__).parents[3] / "docs/reference/lmaps-core.md").read_text()
    assert f"`{name}" in page or f".{name}" in page
    for member in NAMES[module][name]:
        assert member in page


def test_utils_is_a_door_that_nobody_inside_uses():
    package = Path(__file__).parents[3] / "lmaps"
    assert not [path for path in package.rglob("*.py") if "core.utils" in path.read_text() and path.name != "utils.py"]


def test_the_envelope():
    from lmaps.core.utils import client_message

    assert client_message("done")["extra"] is not client_message("done")["extra"]
    told = client_message("failed", 3, {"why": "x"})
    assert (told["message"], told["level"], told["extra"]) == ("failed", 3, {"why": "x"})


def test_every_module_is_imported_without_effect():
    package = Path(__file__).parents[3] / "lmaps"
    for path in package.rglob("*.py"):
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        if "callback" not in name and not name.endswith("__main__"):
            import_module(name)


def test_every_room_has_its_tests():
    tests = "".join(path.name for path in Path(__file__).parents[2].rglob("test_*.py"))
    core = Path(__file__).parents[3] / "lmaps" / "core"
    rooms = {path.stem for path in core.iterdir() if path.stem not in ("__init__", "__pycache__", "utils", "shell")}
    assert not [room for room in rooms if f"test_{room}" not in tests]
