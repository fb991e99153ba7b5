"""A unit that a newer version refuses: said by `unit check`, by each change, and its state is served and undone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import NotFound, UnitUnusable
from lmaps.model.units import load_units_from
from tests.daemons import BIN
from tests.in_process import InProcess

CLOSED = """\
meta: {name: site, data_type: YamlFile}
handler: {type: ansible_playbook, args: {playbook: site.yml}}
params:
  additionalProperties: false
  properties: {relay: {type: string}}
"""
OPEN = CLOSED + '  patternProperties: {"^[a-z]": {type: string}}\n'
FINDING = (
    "the pattern '^[a-z]' lets clients name variables, such as ansible_python_interpreter, by which they run any program:"
    " name the properties, or begin the pattern with ^ and a prefix of your own, such as ^site_; or use data_type"
    " YamlKeyDict, which has free names in one variable"
)
PLACE = "unit.yaml:6:23"


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    """A database of the version before, which had loaded the unit."""
    with InProcess(tmp_path, CLOSED) as lmaps:
        lmaps.call("create", unit="site", instances=[{"relay": "a"}])
        lmaps.call("create", unit="site", instances=[{"relay": "b"}])
        lmaps.service.units = load_units_from([("unit.yaml", OPEN)])
        yield lmaps


def test_its_state_is_shown_exported_and_rolled_back(lmaps: InProcess) -> None:
    [row] = lmaps.call("units").extra["units"]
    assert (row["unit"], row["condition"], row["instances"]) == ("site", "orphaned", 2)
    [error] = lmaps.call("units").extra["errors"]
    assert (error["message"], error["line"]) == (FINDING, 6)
    assert lmaps.call("show", unit="site").extra["state"] == {"relay": "b"}
    assert lmaps.call("export").extra["units"][0]["instances"] == [{"relay": "a"}, {"relay": "b"}]
    assert lmaps.call("rollback", unit="site").revision == 3
    assert lmaps.call("show", unit="site").extra["state"] == {"relay": "a"}
    lmaps.call("redo", unit="site")


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("create", {"instances": [{"relay": "c"}]}),
        ("set", {"id": "x", "instance": {"relay": "c"}}),
        ("import", {"units": [{"unit": "site", "instances": [{"relay": "c"}]}]}),
        ("revert", {"revision": "1"}),
        ("apply", {}),
        ("plan", {"instances": [{"relay": "c"}]}),
    ],
)
def test_a_change_says_why_it_is_refused(lmaps: InProcess, verb: str, args: dict[str, Any]) -> None:
    named = {} if verb == "import" else {"unit": "site"}
    with pytest.raises(UnitUnusable) as refused:
        lmaps.call(verb, **named, **args)
    assert refused.value.message == "site takes no changes: its unit file was refused; show, export and rollback work"
    assert [(finding.place, finding.message) for finding in refused.value.errors] == [(PLACE, FINDING)]


def test_without_history_it_is_not_found(lmaps: InProcess) -> None:
    lmaps.service.units = load_units_from([("unit.yaml", OPEN.replace("name: site", "name: other"))])
    with pytest.raises(NotFound, match="the file of unit other was refused") as refused:
        lmaps.call("create", unit="other", instances=[{"relay": "c"}])
    assert refused.value.errors[0].place == PLACE


def test_unit_check_says_it_before(lmaps: InProcess, tmp_path: Path) -> None:
    checked = lmaps.call("unit_check", files=[{"name": "unit.yaml", "text": OPEN}])
    assert (checked.level, [(finding.place, finding.message) for finding in checked.errors]) == (1, [(PLACE, FINDING)])
    (tmp_path / "unit.yaml").write_text(OPEN)
    offline = [str(BIN / "lmaps"), "unit", "check", "--offline", "unit.yaml", "-o", "table"]
    done = subprocess.run(offline, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert PLACE in done.stdout
    assert FINDING in done.stdout
