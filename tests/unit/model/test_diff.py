import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.model.diff import (
    MISSING,
    Clash,
    Difference,
    changed,
    differences,
    leaves,
    look_up,
    merged,
    parse_pointer,
    pointer,
    same,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "/", "~1", "é"]) | st.floats(-2, 2, width=16),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0", "~", "/"]), below, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "c", "0"]), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, [("/a", 1, True)]),
        ({"a": 1}, {"a": 1.0}, [("/a", 1, 1.0)]),
        ({"a": None}, {}, [("/a", None, MISSING)]),
        ({}, {"a": {"b": 1}}, [("/a", MISSING, {"b": 1})]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, [("/a/b", 1, 3)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [("/a/1", 2, 3)]),
        ({"a": [1, 2]}, {"a": [1]}, [("/a", [1, 2], [1])]),
        ({"a/b": 1}, {"~": 1}, [("/a~1b", 1, MISSING), ("/~0", MISSING, 1)]),
        (MISSING, {"a": 1}, [("", MISSING, {"a": 1})]),
    ],
)
def test_what_differs(before, after, told):
    assert [(pointer(each.path), each.before, each.after) for each in differences(before, after)] == told


@given(OBJECTS, OBJECTS)
def test_carrying_the_differences_out_makes_the_one_the_other(before, after):
    found = list(differences(before, after))
    assert same(changed(before, found), after)
    assert same(merged(before, found), after)
    told = [each.to_json() for each in found]
    assert [Difference.from_json(each).to_json() for each in told] == told


@given(OBJECTS)
def test_leaves_and_pointers_lead_back(document):
    for path, value in leaves(document):
        assert same(look_up(document, path), value)
        assert pointer(parse_pointer(pointer(path))) == pointer(path)


def test_a_merge_keeps_what_came_later_and_refuses_what_clashes():
    back = list(differences({"a": 2, "b": 1}, {"a": 1, "b": 1}))
    assert merged({"a": 2, "b": 5, "c": 6}, back) == {"a": 1, "b": 5, "c": 6}
    assert merged({"a": 1}, back) == {"a": 1}
    with pytest.raises(Clash) as clash:
        merged({"a": 3}, back)
    assert (clash.value.path, clash.value.expected, clash.value.got) == (("a",), 2, 3)


def test_changes_make_objects_on_the_way_but_not_of_values():
    assert changed({}, [Difference(("a", "b"), MISSING, 1)]) == {"a": {"b": 1}}
    assert changed({}, [Difference(("a", "b"), MISSING, MISSING)]) == {}
    for document in ({"a": 1}, {"a": [1]}):
        with pytest.raises(Clash):
            changed(document, [Difference(("a", "b"), MISSING, 1)])


@pytest.mark.parametrize(
    ("difference", "operation"),
    [
        (Difference(("a",), MISSING, 1), {"op": "add", "path": "/x/a", "value": 1}),
        (Difference(("a",), 1, MISSING), {"op": "remove", "path": "/x/a"}),
        (Difference(("a", 0), 1, None), {"op": "replace", "path": "/x/a/0", "value": None}),
    ],
)
def test_a_difference_as_an_operation_of_a_json_patch(difference, operation):
    assert difference.to_patch("x") == operation


def test_a_path_begins_with_a_slash():
    assert parse_pointer("/a~1b/0/c") == ("a/b", 0, "c")
    with pytest.raises(ValueError, match="expected /PROPERTY"):
        parse_pointer("a")
