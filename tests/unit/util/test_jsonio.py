import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.errors import MessageRefused
from lmaps.util import jsonio
from lmaps.util.jsonio import Encoded, encode_object, plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_what_is_encoded_is_decoded(value):
    assert jsonio.canonical(jsonio.decode(jsonio.encode(value).encode())) == jsonio.canonical(value)


@given(st.binary())
def test_any_bytes_are_a_value_or_refused(data):
    try:
        jsonio.encode(jsonio.decode(data)).encode()
    except MessageRefused as refused:
        assert refused.message.startswith("cannot read the message: ")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"NaN", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"1e999", "a number is too large"),
        (b'{"a":1,"a":2}', "'a' is given twice"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\ud800":1}', "lone surrogate"),
        (b"9223372036854775808", "does not fit into 64 bits"),
        (b"1" + b"0" * 5000, "does not fit into 64 bits"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b"[" * 100_000, "deeper than 32"),
        (b"[" + b"0," * 400_000 + b"0]", "more than 400,000 values"),
        (b'"' + b"a" * 300_000 + b'"', "300,000 characters"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_refused(body, reason):
    with pytest.raises(MessageRefused, match=reason):
        jsonio.decode(body)


def test_the_canonical_text_tells_one_from_true():
    assert len({jsonio.canonical(value) for value in (1, 1.0, True)}) == 3
    assert jsonio.canonical({"b": 1, "a": 2}) == jsonio.canonical({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("value", "name"),
    [({}, "object"), ([], "array"), ("", "string"), (1, "integer"), (1.5, "number"), (True, "boolean"), (None, "null")],
)
def test_names_of_types(value, name):
    assert jsonio.type_name(value) == name


def test_what_is_json_already_stands_in_an_object_as_it_is():
    rows = Encoded.array(['{"a":1}', "2"])
    text = encode_object({"é": "ü", "b": 1, "rows": rows, "more": rows, "c": {}})
    assert text == '{"é":"ü","b":1,"rows":[{"a":1},2],"more":[{"a":1},2],"c":{}}'
    assert encode_object({}) == "{}"
    assert plain(rows) == rows.value == [{"a": 1}, 2]
    assert plain("as it is") == "as it is"
