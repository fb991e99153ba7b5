"""Text as values of properties."""

from typing import Any

import pytest

from lmaps.errors import UsageError
from lmaps.model.diff import changed
from lmaps.model.texts import read_properties, read_value


@pytest.mark.parametrize(
    ("types", "text", "wanted"),
    [
        ("string", "7", "7"),
        ("string", "[oops", "[oops"),
        ("string", "", ""),
        ("any", "7", 7),
        ("any", "", None),
        ("integer", "7", 7),
        ("boolean", "true", True),
        ("boolean", "yes", "yes"),
        ("array of string", "[a, b]", ["a", "b"]),
        ("object", "{a: 1}", {"a": 1}),
        ("string or null", "7", "7"),
        ("string or null", "~", None),
        ("string or null", "[oops", "[oops"),
        ("string or number", "7", 7),
        ("string or number", "7.5", 7.5),
        ("string or number", "seven", "seven"),
        ("integer or string", "7.5", "7.5"),
        ("boolean or string", "007", "007"),
    ],
)
def test_text_is_typed_by_the_schema(types: str, text: str, wanted: Any) -> None:
    assert read_value("a", text, types.split(" or ")) == wanted


def test_text_that_is_no_yaml_is_told_with_its_property() -> None:
    with pytest.raises(UsageError, match="cannot read the text for a as YAML: did not find expected"):
        read_value("a", "[oops", ["integer"])


def test_a_text_that_may_be_a_secret_is_not_quoted() -> None:
    for text in ("[canary", "*canary", "!canary x"):
        with pytest.raises(UsageError) as refused:
            read_properties([(("tls", "pin"), text)], {"tls.pin": "integer"}, quoting=False)
        assert refused.value.message == "cannot read the text for tls.pin as YAML"
        assert refused.value.__cause__ is None


def test_a_property_of_an_item_has_its_type() -> None:
    [difference] = read_properties([(("users", 0, "password"), "0123")], {"users[].password": "string"})
    assert difference.after == "0123"


def test_properties_are_read_by_the_types_of_their_paths() -> None:
    texts = [(("a",), "7"), (("c",), "7"), (("d",), ""), (("n", "b"), "no"), (("n", "l"), "[1, x]"), (("e",), "a=b")]
    differences = read_properties(texts, {"a": "string", "n.b": "string"})
    assert changed({}, differences) == {
        "a": "7", "c": 7, "d": None, "n": {"b": "no", "l": [1, "x"]}, "e": "a=b",
    }  # fmt: skip
