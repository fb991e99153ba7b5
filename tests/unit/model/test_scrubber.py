import base64
import html
import json
import math
import os
import random
import re
import shlex
import subprocess
import time
import urllib.parse
from collections.abc import Callable
from string import ascii_letters
from typing import Any

import markupsafe
import pytest
import yaml
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
    assert Scrubber(["one\vtwo\nthree-\r\n"]).text("one\vtwo|three-") == "(secret)|(secret)"
    assert Scrubber([]).text("anything") == "anything"


def hidden_places(secrets: list[str], text: str) -> set[int]:
    """Return the index of each character that is part of a secret."""
    starts = ((at, secret) for secret in secrets for at in range(len(text)) if text.startswith(secret, at))
    return {at + offset for at, secret in starts for offset in range(len(secret))}


@given(st.lists(st.text("ab", min_size=6, max_size=9), max_size=6), st.text("abc", max_size=60))
def test_each_character_of_a_secret_is_hidden_and_no_other(secrets, text):
    hidden = hidden_places(secrets, text)
    expected = re.sub("_+", HIDDEN, "".join("_" if at in hidden else text[at] for at in range(len(text))))
    assert Scrubber(secrets).text(text) == expected


def test_nothing_of_overlapping_secrets_stays():
    scrub = Scrubber(["ABCDEF", "DEFGHI", "secret-one", "one-secret"]).text
    assert scrub("xABCDEFGHIx ABCDEFDEFGHI") == "x(secret)x (secret)"
    assert scrub("secret-one-secret-one-secret, once") == "(secret), once"


@pytest.mark.parametrize("length", [31, 32, 33, 63, 64, 65, 1000])
def test_a_long_secret_is_hidden_as_a_whole_and_in_pieces(length):
    secret = "".join(random.Random(length).choices(ascii_letters, k=length))
    scrub = Scrubber([secret]).text
    assert scrub(f"<{secret}>{secret}>") == "<(secret)>(secret)>"
    if length > 32:
        assert scrub(f"<{secret[:32]}>") == "<(secret)>"
    if length > 64:
        assert scrub(f"<{secret[32:64]}>") == "<(secret)>"
        assert secret[:64] not in scrub(secret[:70])  # as when a line was cut


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


def go(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_yaml(style: str) -> Callable[[object], str]:
    return lambda value: yaml.safe_dump(value, default_style=style, width=math.inf)


VALUES: dict[str, Callable[[object], str]] = {
    "ascii JSON": json.dumps,
    "JSON": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON of PHP": lambda value: json.dumps(value).replace("/", "\\/"),
    "JSON of Go": go,
    "JSON of Jinja2": lambda value: go(value).replace("'", "\\u0027"),
    "Python": repr,
    "ascii Python": ascii,
    "JSON in JSON": lambda value: json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False),
    "JSON in ascii JSON": lambda value: json.dumps(json.dumps(value, ensure_ascii=False)),
    "Python in JSON": lambda value: json.dumps(repr(value), ensure_ascii=False),
    "JSON in Python": lambda value: repr([json.dumps(value)]),
}
"""How tools print values with texts in them."""

TEXTS: dict[str, Callable[[str], str]] = {
    "YAML, single quoted": as_yaml("'"),
    "YAML, double quoted": as_yaml('"'),
    "shlex": lambda text: shlex.quote(f"{text} "),
    "set -x": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "URL path": urllib.parse.quote,
    "URL component": lambda text: urllib.parse.quote(text, safe=""),
    "encodeURIComponent": lambda text: urllib.parse.quote(text, safe="!'()*"),
    "form": urllib.parse.quote_plus,
    "URL of .NET": lambda text: re.sub("%..", lambda code: code[0].lower(), urllib.parse.quote(text, safe="")),
    "CSV": lambda text: text.replace('"', '""'),
    "XML": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "HTML": html.escape,
    "HTML text": lambda text: html.escape(text, quote=False),
    "HTML of Jinja2": lambda text: str(markupsafe.escape(text)),
    "bytes of Python": lambda text: repr(text.encode()),
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 of URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "Latin-1": lambda text: text.encode("latin-1", "replace").decode(errors="replace"),
    "UTF-16": lambda text: text.encode("utf-16-le").decode(errors="replace").strip("\0"),
}
"""How tools print one text."""


def printed_inside(show: Callable[[Any], str], secret: str) -> str:
    """Return what ``show`` prints for a secret, without the quotation marks around it."""
    before, marker, after = show("zz").partition("zz")
    shown = show(secret)
    return shown[len(before) : len(shown) - len(after)] if marker else shown


@pytest.mark.parametrize("tool", VALUES)
@given(st.text(min_size=6), st.text(max_size=6))
def test_a_text_is_hidden_in_every_form_in_which_tools_print_it(tool, secret, beside):
    for value in ({"key": [secret], "beside": beside}, {"key": f"'{secret}\""}):
        scrubbed = Scrubber([secret]).text(VALUES[tool](value))
        # A secret may be a part of the mask itself.
        assert printed_inside(VALUES[tool], secret) not in scrubbed.replace(HIDDEN, "")


PASSWORDS = st.text(ascii_letters + "'\"\\/<>&%+ =:!(){}[]$`~^;,#@.-_?|*éß", min_size=8, max_size=100)


@pytest.mark.parametrize("tool", TEXTS)
@given(PASSWORDS)
def test_a_password_is_hidden_in_every_form_in_which_tools_print_it(tool, secret):
    shown, inner = TEXTS[tool](secret), printed_inside(TEXTS[tool], secret)
    before, _, after = shown.partition(inner)
    assert Scrubber([secret]).text(f"<<{shown}>>") == f"<<{before}{HIDDEN}{after}>>"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_password_is_hidden_as_shells_print_it(locale):
    texts = [
        "pa ss$w\"or'd!x",
        "$6$rounds=5000$salt$xyz./",
        "~a`b\\c*d?e[f]",
        "{it's}(p&q|r;s<t>)^,#",
        "pässwörd ü€'\\",
    ]
    script = """for text; do printf '%q\\n' "$text"; echo "${text@Q}"; export "secret=$text"; export -p; declare -p secret; done"""
    environment = {"LC_ALL": locale, "PATH": os.environ["PATH"]}
    done = subprocess.run(["bash", "-c", script, "bash", *texts], capture_output=True, env=environment, check=True)
    lines = [line for line in done.stdout.decode().splitlines() if "declare -x" not in line or "secret=" in line]
    assert len(lines) == 4 * len(texts)
    scrubber = Scrubber(texts)
    shown = {scrubber.text(line) for line in lines}
    beside = re.compile(r"""[\\$'"]*""")  # quotation marks, and an escape of the first character
    rests = {beside.sub("", text.replace("declare -x secret=", "")) for text in shown}
    assert rests == {HIDDEN}


@given(st.binary(max_size=9), st.text(min_size=8), st.binary(max_size=9))
def test_a_password_is_hidden_within_the_base64_of_more(before, secret, after):
    shown = base64.b64encode(before + secret.encode() + after).decode()
    scrubbed = Scrubber([secret]).text(shown)
    at = len(before) * 8 // 6
    inner = shown[at + 1 : (len(before) + len(secret.encode())) * 8 // 6]
    assert inner not in scrubbed  # one character at each end may stay: it holds bits of what is beside the secret


def test_each_part_of_a_secret_list_or_object_is_hidden():
    scrubber = Scrubber([["hunter2hunter2", {"in-the-key": ["otherother"]}], 123456])
    assert scrubber.text("a key stays: in-the-key") == "a key stays: in-the-key"
    assert scrubber.text("with hunter2hunter2 and otherother") == "with (secret) and (secret)"
    assert scrubber.event({"v": ["hunter2hunter2"], "n": -123456, "m": 1.5}) == {
        "v": ["(secret)"],
        "n": "(secret)",
        "m": 1.5,
    }


def test_names_that_are_masked_alike_keep_their_values():
    event = {"hunter2": 1, "hunter3": 2, "hunter2hunter3": 3, "(secret) 2": 4, "open": {"x hunter2": 5, "x hunter3": 6}}
    scrubbed = Scrubber(["hunter2", "hunter3"]).event(event)
    assert scrubbed == {
        "(secret)": 1,
        "(secret) 3": 2,
        "(secret) 4": 3,
        "(secret) 2": 4,
        "open": {"x (secret)": 5, "x (secret) 2": 6},
    }


MANY = random.Random(1)
HARD: dict[str, tuple[list[str], str]] = {
    "one beginning": (["P" * 40 + str(number) for number in range(10_000, 22_000)], "P" * 500_000),
    "one beginning, many lengths": (["P" * (6 + at % 40) + str(at) for at in range(12_000)], "P" * 500_000),
    "nearly there, again and again": (["a" * 100_000 + "b"], "a" * 500_000),
    "many masks": ([f"password{number}" for number in range(12_000)], "password7 " * 50_000),
    "all different": (
        ["".join(MANY.choices(ascii_letters, k=20)) for _ in range(12_000)],
        "".join(MANY.choices(ascii_letters, k=500_000)),
    ),
    "names": ([f"password{number}" for number in range(12_000)], ""),
}


@pytest.mark.parametrize("case", HARD)
def test_the_time_does_not_depend_on_what_the_secrets_are(case):
    secrets, text = HARD[case]
    scrubber = Scrubber(secrets)
    started = time.process_time()
    scrubber.text(text)
    scrubber.event(dict.fromkeys(secrets, 1) if case == "names" else {})
    # It takes 0.3 s; a search for each secret takes minutes. A worker that is silent for 10 s is replaced.
    assert time.process_time() - started < 5
