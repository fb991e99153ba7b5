"""Every name of the original's reference: it is there, it is documented, and a test exercises it."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

METHOD = object()
"""Stands for a member that can be called."""
ROOT = Path(__file__).parents[3]
TREE: dict[str, Any] = {
    "args": (), "kwargs": {}, **dict.fromkeys(["exists", "new_store", "rollback", "setup", "state"], METHOD),
}  # fmt: skip
YAML_TREE = TREE | {
    "current_dir": "current", "rollback_dir": "rollback", "store_key": "root", "store_root": None,
    **dict.fromkeys(["get_current_store_dir", "get_rollback_store_dir", "store_files"], METHOD),
}  # fmt: skip
THREADER = {"args": None, "method": None, "thread": None, "isAlive": METHOD, "start": METHOD, "stop": METHOD}
REFERENCE: dict[str, dict[str, dict[str, Any]]] = {
    "client": {"Client": {"manager_socket_type": 5, "request": METHOD}},
    "config": {"extend_with_default": {}, "find_config_file": {}, "load_config": {}},
    "daemon": {
        "Daemon": {
            "config": {}, "threads": [], "workers": [],
            **dict.fromkeys(["make_workers", "manage_workers", "run", "start_workers"], METHOD),
        },
    },
    "data": {
        "DataStore": TREE,
        "YamlFile": YAML_TREE,
        "YamlKeyDict": YAML_TREE,
        "YamlKeyList": YAML_TREE,
        "YamlList": YAML_TREE,
    },
    "handlers": {
        "Handler": {"context": None, "setup": METHOD},
        "ManagerHandler": {"context": None, "setup": METHOD, "client_request": METHOD, "create_or_apply": METHOD},
        "UnitHandler": {"context": None, "setup": METHOD},
    },
    "manager": {
        "Manager": {
            "manager_socket_type": 6, "socket_type": 6, "worker_connection_uri": None,
            **dict.fromkeys(["run_task", "setup_args", "start"], METHOD),
        },
    },
    "shell": {"get_parser": {}, "print_response": {}, "start": {}},
    "tasks": {
        "error_message": {}, "get_worker_config": {}, "get_worker_units": {}, "get_worker_units_instances": {},
        "no_work": {}, "rollback_worker_units_instances": {}, "stop_worker_thread": {}, "validate_instance": {},
    },
    "utils": {
        "OpenThread": THREADER,
        "Threader": THREADER,
        "client_message": {},
        "get_data_type_by_name": {},
        "get_unit_by_name": {},
        "validate_unit_instance": {},
    },
    "worker": {
        "Worker": {
            "running": True, "socket_type": 5, "worker_connection_uri": None,
            **dict.fromkeys(["setup_args", "start", "stop"], METHOD),
        },
    },
}  # fmt: skip
"""The modules, their names, and of each class the members with their values on the class."""
NAMES = [(module, name) for module, names in REFERENCE.items() for name in names]
BASES = [
    ("data", "YamlFile", "DataStore"), ("data", "YamlList", "YamlFile"), ("data", "YamlKeyList", "YamlList"),
    ("data", "YamlKeyDict", "YamlKeyList"), ("handlers", "ManagerHandler", "Handler"),
    ("handlers", "UnitHandler", "Handler"), ("utils", "OpenThread", "Threader"),
]  # fmt: skip
PARAMETERS = {
    "config.extend_with_default": ["validator_class"],
    "config.find_config_file": [],
    "config.load_config": ["config_file"],
    "daemon.Daemon.make_workers": ["self", "count"],
    "data.YamlFile.new_store": ["self", "data"],
    "data.YamlList.state": ["self", "reverse"],
    "handlers.ManagerHandler.client_request": ["self", "request"],
    "handlers.ManagerHandler.create_or_apply": ["self", "request"],
    "manager.Manager": ["worker_connection_uri", "args"],
    "manager.Manager.run_task": ["self", "runnable", "args", "kwargs"],
    "manager.Manager.setup_args": ["self", "args"],
    "client.Client": ["args"],
    "client.Client.request": ["self", "payload"],
    "shell.get_parser": [],
    "shell.print_response": ["msg", "format"],
    "tasks.error_message": ["context", "msg"],
    "tasks.get_worker_config": ["context"],
    "tasks.get_worker_units": ["context"],
    "tasks.get_worker_units_instances": ["context", "name"],
    "tasks.no_work": ["context"],
    "tasks.rollback_worker_units_instances": ["context", "name"],
    "tasks.stop_worker_thread": ["context"],
    "tasks.validate_instance": ["context", "unit_name", "instance"],
    "utils.OpenThread": ["method", "args"],
    "utils.Threader": ["method", "args"],
    "utils.client_message": ["message", "level", "extra"],
    "utils.get_data_type_by_name": ["name"],
    "utils.get_unit_by_name": ["name", "config"],
    "utils.validate_unit_instance": ["instance", "unit"],
    "worker.Worker": ["worker_connection_uri", "args"],
    "worker.Worker.setup_args": ["self", "args"],
}


def get(module: str, *path: str) -> Any:
    value: Any = import_module(f"lmaps.core.{module}")
    for name in path:
        value = getattr(value, name)
    return value


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_name_is_there_and_says_what_it_does(module: str, name: str) -> None:
    assert inspect.getdoc(get(module, name))


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_class_has_the_documented_members(module: str, name: str) -> None:
    for member, value in REFERENCE[module][name].items():
        if value is METHOD:
            assert callable(get(module, name, member)), member
            assert inspect.getdoc(get(module, name, member)), member
        else:
            assert get(module, name, member) == value, member
            assert type(get(module, name, member)) is type(value), member


@pytest.mark.parametrize(("module", "name", "base"), BASES)
def test_the_class_has_the_documented_base(module: str, name: str, base: str) -> None:
    assert issubclass(get(module, name), get(module, base))


@pytest.mark.parametrize(("path", "parameters"), PARAMETERS.items())
def test_the_signature_is_the_documented_one(path: str, parameters: list[str]) -> None:
    module, *names = path.split(".")
    assert list(inspect.signature(get(module, *names)).parameters) == parameters


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_name_is_documented(module: str, name: str) -> None:
    page = (ROOT / "docs/reference/lmaps-core.md").read_text()
    [section] = re.findall(rf"^## lmaps\.core\.{module}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    assert f"`{name}" in section
    for member in REFERENCE[module][name]:
        assert re.search(rf"\b{member}\b", section), member


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_the_name_is_exercised(module: str, name: str) -> None:
    files = [*Path(__file__).parent.glob("test_*.py"), *(ROOT / "tests/integration/core").glob("test_*.py")]
    text = "".join(file.read_text() for file in files if file.name != "test_reference.py")
    for used in (name, *(member for member, value in REFERENCE[module][name].items() if value is METHOD)):
        assert re.search(rf"\b{used}\b(?!\))", text), used


@pytest.mark.parametrize("module", REFERENCE)
def test_a_module_is_short_and_has_no_other_name(module: str) -> None:
    package = import_module(f"lmaps.core.{module}")
    public = {name for name, value in vars(package).items() if getattr(value, "__module__", "") == package.__name__}
    assert {name for name in public if not name.startswith("_")} <= set(REFERENCE[module])
    assert len(Path(str(package.__file__)).read_text().splitlines()) < 100
    assert "live" in (package.__doc__ or "").split("\n\n")[0], "it says where the names live"


def test_there_is_no_other_module() -> None:
    modules = {path.stem for path in (ROOT / "lmaps/core").glob("*.py")}
    assert modules == {*REFERENCE, "__init__"}
