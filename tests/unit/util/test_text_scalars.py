import pytest

from lmaps.util.text import scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("~", None), ("null", None), ("true", True), ("false", False), ("0", 0), ("-0", 0), ("+7", 7),
     ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("1.5", 1.5), ("-0.5", -0.5), ("1.0e3", 1000.0)],
)  # fmt: skip
def test_what_a_word_stands_for(text, value):
    assert (scalar(text), type(scalar(text))) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["no", "True", "Null", "0777", "-07", "12:30", "2026-11-23", "1e3", "1.", ".5", "1_000", "0x1f", "+", "-", "--1", "\u0661",
     "1\u0661", "1\n", "1.5\n", "10.0.0.1", "30s"],
)  # fmt: skip
def test_all_else_is_itself(text):
    assert scalar(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9223372036854775808", "does not fit into 64 bits"),
        ("-" + "9" * 5000, "does not fit"),
        ("1" * 400 + ".0", "too large"),
    ],
)
def test_a_number_that_cannot_be_kept(text, words):
    with pytest.raises(ValueError, match=words):
        scalar(text)
