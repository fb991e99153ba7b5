import stat
from pathlib import Path

import pytest

from lmaps.errors import NotFound, StoreError
from lmaps.model.data_types import (
    DATA_TYPES,
    DataStore,
    YamlFile,
    YamlKeyDict,
    YamlKeyList,
    YamlList,
    get_data_type_by_name,
)

ROWS = [{"id": "a", "x": 1}, {"id": "b", "y": 2}, {"id": "a", "x": 3}]


@pytest.mark.parametrize(
    ("kind", "keywords", "state", "reversed_state"),
    [
        (YamlFile, {}, {"id": "a", "x": 3, "y": 2}, {"id": "a", "x": 1, "y": 2}),
        (YamlList, {}, ROWS, ROWS[::-1]),
        (YamlKeyList, {}, {"root": ROWS}, {"root": ROWS[::-1]}),
        (YamlKeyList, {"store_key": "k"}, {"k": ROWS}, {"k": ROWS[::-1]}),
        (YamlKeyDict, {"store_key": "k"}, {"k": {"id": "a", "x": 3, "y": 2}}, {"k": {"id": "a", "x": 1, "y": 2}}),
        (
            YamlKeyDict,
            {"primary_key": "id"},
            {"root": {"a": ROWS[2], "b": ROWS[1]}},
            {"root": {"a": ROWS[0], "b": ROWS[1]}},
        ),
    ],
)
def test_state(kind, keywords, state, reversed_state):
    shaped = kind(rows=ROWS, **keywords)
    assert shaped.state() == state
    assert shaped.state(reverse=True) == reversed_state


@pytest.mark.parametrize("kind", [YamlFile, YamlList, YamlKeyList, YamlKeyDict])
def test_a_state_without_instances(kind):
    empty = {"YamlFile": {}, "YamlList": [], "YamlKeyList": {"root": []}, "YamlKeyDict": {"root": {}}}
    assert kind().state() == empty[kind.__name__]
    assert kind().rollback() == {}


@pytest.mark.parametrize("with_tree", [False, True])
def test_a_store_is_kept_rolled_back_and_found_again(tmp_path, with_tree):
    store = YamlList(store_root=str(tmp_path / "web") if with_tree else None)
    for row in ROWS:
        store.new_store(row)
    assert store.state() == ROWS
    assert store.exists({"x": 1, "id": "a"})
    assert not store.exists({"id": "a"})
    assert store.rollback() == ROWS[2]
    assert store.rollback() == ROWS[1]
    assert store.state() == ROWS[:1]


def test_the_tree_is_the_originals(tmp_path):
    store = YamlFile(store_root=str(tmp_path / "web"))
    path = Path(store.new_store({"a": "no"}))
    assert path.parent == Path(store.get_current_store_dir()) == tmp_path / "web" / "current"
    assert path.read_text() == "a: 'no'\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert store.store_files() == [str(path)]
    store.rollback()
    assert [p.name for p in Path(store.get_rollback_store_dir()).iterdir()] == [path.name]
    assert YamlFile(store_root=str(tmp_path / "web")).state() == {}


def test_files_of_the_original_are_read_in_order(tmp_path):
    store = YamlList(store_root=str(tmp_path))
    for name, value in (("1546300800.9", 1), ("1546300800.12", 0), ("1546300801", 2)):
        (tmp_path / "current" / name).write_text(f"n: {value}\n")
    assert [row["n"] for row in store.state()] == [0, 1, 2]
    assert Path(store.new_store({"n": 3})).name > "1546300801"


def test_a_merged_file_exists_by_its_parts():
    store = YamlFile(rows=[{"a": 1, "b": 2}, {"b": 3}])
    assert store.exists({"b": 3})
    assert not store.exists({"b": 2})
    assert not store.exists({"a": True})


def test_keywords_and_arguments_are_kept():
    store = YamlKeyList("x", store_key="sites", rows=[])
    assert (store.args, store.kwargs["store_key"], store.store_key, store.store_root) == (
        ("x",),
        "sites",
        "sites",
        None,
    )
    assert (store.current_dir, store.rollback_dir) == ("current", "rollback")
    assert DataStore.store_key == "root"


def test_only_a_tree_has_files():
    with pytest.raises(StoreError, match="without a store_root"):
        YamlList().store_files()


def test_data_types_by_name():
    assert all(get_data_type_by_name(name) is kind for name, kind in DATA_TYPES.items())
    with pytest.raises(NotFound, match="did you mean YamlList?"):
        get_data_type_by_name("YamlLst")
