import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lmaps.errors import DocumentRefused, Finding
from lmaps.util import jsonio, yamlio

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=15,
)  # fmt: skip
HOSTILE = [
    *"no on y 0777 0x1f 0o17 0b1 1e3 1_000 12:30:45 2026-11-23 ~ null .inf NaN = << - a # * & ! ' \" +1 .5 1. @ ` %".split(),
    *["", " ", "a\nb\n", "\n", "\t", "\r\n", " x ", "\x01\x7f", "\x85", "\u2028", "😀", "key: value", "[a", "{b"],
]


@given(VALUES)
def test_what_is_dumped_is_loaded(value):
    text = yamlio.dump(value)
    loaded = yamlio.load(text)
    assert [document.value for document in loaded] == ([] if value is None else [value])
    assert repr(yaml.safe_load(text)) == repr(value)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_stay_strings(text):
    dumped = yamlio.dump({text: [text]})
    assert yamlio.load(dumped)[0].value == {text: [text]}
    assert yaml.safe_load(dumped) == {text: [text]}


def test_plain_words_are_not_guessed():
    text = "{a: no, b: 0777, c: 2026-11-23, d: 12:30, e: 1e3, f: null, g: true, h: -7, i: 1.5, j: ~, k: '7'}"
    assert yamlio.load(text)[0].value == {
        "a": "no", "b": "0777", "c": "2026-11-23", "d": "12:30", "e": "1e3",
        "f": None, "g": True, "h": -7, "i": 1.5, "j": None, "k": "7",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("[" * 100_000, "1:1001", "nesting depth|nested deeper"),
        ("[" * 70 + "]" * 70, "1:66", "nested deeper than 64"),
        ("a: &x [1]\nb: *x", "2:4", "alias"),
        ("a: 1\na: 2", "2:1", "is given twice"),
        ("1: x", "1:1", "quote it"),
        ("? [a]\n: b", "1:3", "no string"),
        ("a: !!binary aGk=", "1:4", "tag"),
        ("a: !!python/object/apply:os.system [id]", "1:4", "tag"),
        ("a: !!set {b}", "1:4", "tag"),
        ("<<: {a: 1}", "1:1", "merge keys"),
        ("a: 9223372036854775808", "1:4", "64 bits"),
        ("a: 1.0e999", "1:4", "too large"),
        ("a: [b\nc: d", "2:2", "expected|did not find"),
        ("a: \x00", "1:1", "character"),
        (b"a: \xff", "1:1", "UTF-8"),
    ],
    ids=lambda value: str(value)[:16],
)
def test_refused_with_its_place(text, place, reason):
    with pytest.raises(DocumentRefused, match="f.yaml") as refused:
        yamlio.load(text, file="f.yaml")
    [finding] = refused.value.errors
    assert finding.place == f"f.yaml:{place}"
    assert __import__("re").search(reason, finding.message)


def test_an_alias_bomb_is_refused_where_aliases_are_allowed():
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(DocumentRefused, match="too large"):
        yamlio.load("\n".join(lines), aliases=True)


def test_an_alias_is_a_copy():
    value = yamlio.load("a: &x {b: [1]}\nc: *x", aliases=True)[0].value
    value["a"]["b"].append(2)
    assert value["c"] == {"b": [1]}


def test_too_many_events_are_refused():
    with pytest.raises(DocumentRefused, match="more than 10 parts"):
        yamlio.load("[1,2,3,4,5,6,7,8,9,10]", events=10)


def test_places_of_values_and_keys():
    documents = yamlio.load("a: 1\n---\nhost: x\nlist:\n  - b: 2\n")
    second = documents[1]
    assert second.place(("host",)) == (3, 7)
    assert second.place(("host",), on_key=True) == (3, 1)
    assert second.place(("list", 0, "b")) == (5, 8)
    assert second.place(("list", 0, "missing", "deeper")) == (5, 5)
    assert second.place(("missing",)) == (3, 1)
    assert second.locate(Finding("x", ("list", 0, "b"))).line == 5


def test_empty_documents_are_passed_over():
    assert yamlio.load("---\n---\na: 1\n---\n# nothing\n") != []
    assert [document.value for document in yamlio.load("---\n---\na: 1\n---\n")] == [{"a": 1}]
    assert yamlio.load("") == []


def test_shared_values_are_written_out():
    shared = {"x": 1}
    assert "&" not in yamlio.dump([shared, shared])


def test_a_stream_of_documents():
    text = yamlio.dump_all([{"a": 1}, {"b": 2}])
    assert text == "---\na: 1\n---\nb: 2\n"


def test_the_places_of_json_are_those_of_the_same_yaml():
    text = """\
{"a": [1, {"b": "x", "c\\n\\"": {}}, [], [[true, null]]],
 "d" : -1.5e3,

   "e":"\\u00e9", "f": {"": [ ] , "g": [ "1" ,2 ]}}
"""
    as_json, [as_yaml] = yamlio.JsonDocument(json.loads(text), "f", text, 0), yamlio.load(text)
    paths = list(jsonio.places(text))
    assert len(paths) > 25
    for at, on_key in paths:
        assert as_json.place(at, on_key=on_key) == as_yaml.place(at, on_key=on_key), at


@pytest.mark.parametrize(
    "text",
    [
        '[{"a":"\\ud83d\\ude00", "b": 1}]',
        '[\n\t{"a": "x",\n\t\t"b": 1}]',
        '[{"a": "\x7f\\/", "b": 1}]',
        '[{"\\ud800\\udc00": 0, "b": 1}]',
    ],
)
def test_json_that_is_no_yaml_has_places_too(text):
    document = yamlio.JsonDocument(json.loads(text), "f", text, 0)
    line, column = document.place((0, "b"))
    assert text.splitlines()[line - 1][column - 1] == "1"
    line, column = document.place((0, "b"), on_key=True)
    assert text.splitlines()[line - 1][column - 1 :].startswith('"b"')
