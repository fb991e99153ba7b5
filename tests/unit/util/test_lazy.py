"""Modules that are imported when they are first used."""

import sys

import pytest

from lmaps.util.lazy import LazyModule


def test_a_module_is_imported_at_its_first_use(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_late.py").write_text("ANSWER = 42\n")
    module = LazyModule("imported_late")
    assert repr(module) == "<lazy module imported_late>"
    assert "imported_late" not in sys.modules
    assert module.ANSWER == 42
    monkeypatch.delitem(sys.modules, "imported_late")


def test_a_replaced_attribute_is_seen(monkeypatch):
    module = LazyModule("json")
    assert module.dumps(1) == "1"
    monkeypatch.setattr("json.dumps", lambda value: "replaced")
    assert module.dumps(1) == "replaced"


@pytest.mark.parametrize(("name", "error"), [("there_is_no_such_module", ImportError), ("json", AttributeError)])
def test_what_is_not_there_is_an_error_at_its_use(name, error):
    with pytest.raises(error):
        _ = LazyModule(name).nothing
