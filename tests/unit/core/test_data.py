from pathlib import Path

import pytest

from lmaps.core.data import DataStore, YamlFile, YamlKeyDict, YamlKeyList, YamlList

FIRST, SECOND = {"a": 1, "b": 1}, {"b": 2}
STATES = [
    (YamlFile, {"a": 1, "b": 2}, {"a": 1, "b": 1}),
    (YamlList, [FIRST, SECOND], [SECOND, FIRST]),
    (YamlKeyList, {"root": [FIRST, SECOND]}, {"root": [SECOND, FIRST]}),
    (YamlKeyDict, {"root": {"a": 1, "b": 2}}, {"root": {"a": 1, "b": 1}}),
]


@pytest.mark.parametrize(("data_type", "state", "reversed_state"), STATES)
def test_a_tree_of_files(data_type: type[YamlFile], state: object, reversed_state: object, tmp_path: Path) -> None:
    store = data_type("first", store_root=str(tmp_path))
    assert (store.args, store.kwargs) == (("first",), {"store_root": str(tmp_path)})
    assert store.get_current_store_dir() == str(tmp_path / "current")
    assert store.get_rollback_store_dir() == str(tmp_path / "rollback")
    file = store.new_store(FIRST)
    store.new_store(SECOND)
    assert Path(file).parent == tmp_path / "current"
    assert store.store_files()[0] == file
    assert store.state() == state
    assert store.state(reverse=True) == reversed_state
    assert store.exists(SECOND)
    assert not store.exists({"b": 3})
    assert store.rollback() == SECOND
    assert [path.name for path in (tmp_path / "rollback").iterdir()] != []
    store.rollback()
    assert store.rollback() == {}
    store.setup()


def test_the_base_has_instances_and_no_form() -> None:
    store = DataStore(rows=[FIRST])
    store.setup()
    store.new_store(SECOND)
    assert store.exists(SECOND)
    assert store.rollback() == SECOND
    with pytest.raises(NotImplementedError):
        store.state()
