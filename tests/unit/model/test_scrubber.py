import json
import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from lmaps.model.diff import leaves
from lmaps.model.schema import Scrubber
from lmaps.model.schema.scrubber import HIDDEN


def test_text_is_scrubbed_of_secrets_as_they_stand_and_as_json():
    scrub = Scrubber(['pass"word', "short", "line one of it\nline two", {"pin": "0123456"}, 1234567]).text
    assert scrub('x pass"word y') == "x (secret) y"
    assert scrub(json.dumps({"a": 'pass"word'})) == '{"a": "(secret)"}'
    assert scrub("line two") == "(secret)"
    assert scrub("0123456 1234567") == "(secret) (secret)"
    assert scrub("short") == "short"
    assert Scrubber([]).text("anything") == "anything"


@given(st.lists(st.text("ab", min_size=6, max_size=9)), st.text("abc", max_size=40))
def test_what_is_hidden_is_the_longest_at_each_place(secrets, text):
    pattern = "|".join(sorted(secrets, key=len, reverse=True)) or "nothing"
    assert Scrubber(secrets).text(text) == re.sub(pattern, "(secret)", text)


@given(st.text(min_size=6), st.text(), st.text())
def test_no_secret_survives(secret, before, after):
    text = Scrubber([secret]).text(before + secret + after)
    assert secret not in text.replace("(secret)", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**8) | st.floats(0, 10, width=16) | st.text('ab"\\\n', max_size=14),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("ab", max_size=9), below, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.text('ab"\\', min_size=6, max_size=8) | st.integers(10**5, 10**8), max_size=4), JSON)
def test_a_scrubbed_value_is_json_of_the_same_shape_without_a_secret(secrets, value):
    scrubbed = Scrubber(secrets).event({"item": value})["item"]
    if type(scrubbed) is not type(value):
        assert scrubbed == HIDDEN
        assert any(str(secret) in json.dumps(value) for secret in secrets)
    if isinstance(value, list):
        assert len(scrubbed) == len(value)
    hidden = json.loads(json.dumps(scrubbed))
    texts = [part for path, leaf in leaves(hidden) for part in (*map(str, path), leaf) if isinstance(part, str)]
    assert not [secret for secret in secrets for text in texts if str(secret) in text]
    assert not [leaf for _, leaf in leaves(hidden) if type(leaf) is int and leaf in secrets]


def test_without_a_secret_a_value_stays():
    event = {"a": [1, 2.5, None, True, "text"], "b": {}}
    assert Scrubber().event(event) == event


def test_the_words_of_a_tool_stay_where_it_uses_them():
    scrubber = Scrubber(["changed", "runner_on_ok", "failures"], {"event", "changed", "runner_on_ok", "failures"})
    event = {"event": "runner_on_ok", "changed": True, "hosts": {"a": {"failures": 1}}, "runner_on_": 1}
    assert scrubber.event(event) == event
    assert scrubber.event({"event": "x failures", "item": "changed"}) == {"event": "x (secret)", "item": "(secret)"}


@given(st.text(min_size=6), st.text(max_size=6))
def test_a_text_is_hidden_in_every_form_in_which_tools_print_it(secret, beside):
    scrub = Scrubber([secret]).text
    shows: list[Callable[[object], str]] = [
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        repr,
        ascii,
    ]
    for show in shows:
        inner = show(secret)[1:-1]
        for value in ({"key": [secret], "beside": beside}, {"key": f"'{secret}\""}):
            assert inner not in scrub(show(value)).replace(HIDDEN, "")  # a secret may be a part of the mask itself


def test_each_part_of_a_secret_list_or_object_is_hidden():
    scrubber = Scrubber([["hunter2hunter2", {"in": ["otherother"]}], 123456])
    assert scrubber.text("with hunter2hunter2 and otherother") == "with (secret) and (secret)"
    assert scrubber.event({"v": ["hunter2hunter2"], "n": -123456, "m": 1.5}) == {
        "v": ["(secret)"],
        "n": "(secret)",
        "m": 1.5,
    }
