"""What is read quickly is what the strict reader makes of it, with either of PyYAML's parsers."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmaps.errors import DocumentRefused
from lmaps.util import fast_yaml, yamlio

ROOT = Path(__file__).parents[3]
WORDS = ["a", "ipc://m.sock", "tcp://10.0.0.1:7733", ".demo/m", "~/x", "x@y", "30s", "5*60", "0777", "12:30", "7", "-7", "+7",
         "1.5", "1e3", "~", "null", "true", "No", "2026-11-23", "99999999999999999999", "1" * 400 + ".0", "a b", "a:b",
         "[]", "[a, b]", "[a,1]", "'x: #y'", '"x, y"', "''"]  # fmt: skip
KEYS = ["a", "b", "rpc", "time-out", "no", "null", "_7"]
MAPPINGS = st.recursive(
    st.sampled_from(["", *WORDS]),
    lambda inner: (
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
).map(lambda value: value if isinstance(value, dict) else {"a": value})
MARKS = st.sampled_from(
    [*" \n\t\r:#,-[]{}'\"&*!|>%@`~?=\\./01é\x07\x7f\u2028", "\n  ", "\n- ", "---", "...", "<<", " #", ": ", "- "]
)
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), MARKS | st.just("")), max_size=2)


def written(value, pad, steps, comment):
    """A mapping as people may write it."""
    for key, below in value.items():
        step = steps[len(pad) % len(steps)]
        if isinstance(below, dict):
            yield f"{pad}{key}:{comment}"
            yield from written(below, pad + " " * step, steps, comment)
        elif isinstance(below, list):
            yield from (f"{pad}{key}:", *(f"{pad}{' ' * (step % 3)}- {word}{comment}" for word in below))
        else:
            yield f"{pad}{key}: {below}{comment}"


@st.composite
def texts(draw):
    """Such a mapping, with some of its characters changed."""
    steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    text = "\n".join(
        written(draw(MAPPINGS), "", steps, draw(st.sampled_from(["", "", "  # said", " #", "\n", "\n # no"])))
    )
    for place, length, mark in draw(CHANGES):
        at = int(place * len(text))
        text = text[:at] + mark + text[at + length :]
    return text


def strictly(text):
    """The one mapping that the strict reader finds, else None."""
    try:
        documents = yamlio.load(text)
    except DocumentRefused:
        return None
    return documents[0].value if len(documents) == 1 else None


@pytest.fixture(params=["C", "Python"], scope="module")
def parser(request):
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "Python":
            patched.setattr(yamlio, "_Loader", yaml.SafeLoader)
        yield


@settings(max_examples=2000)
@given(texts())
@example("a: b\n  c: d\n")
@example("a:\n- b\n-c\n")
@example("a:\n  b:\n  - c\n- d\n")
@example("a:\nb:\n    c: 1\n  d: 2\n")
@example("a: 'b'\na: c\n")
@example(" a: b\n")
@example("\ufeffa: b\n")
@example("a: b\r\n")
@example("a: b\x7f\n")
@example("a: '\x07'\n")
@example("# \x07\na: b\n")
@example("a: b # \x0b\n")
@example("a: [b,c]\n--- \n")
def test_what_is_read_is_what_is_there(parser, text):
    found = fast_yaml.read(text.encode())
    assert found is None or repr(found) == repr(strictly(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "lmaps.yaml").read_text(),
        "rpc:\n  manager_bind: [ipc://m.sock, tcp://10.0.0.1:7733]\n  timeout: 5m # long\nworkers: 4\nlog:\n  level: debug\n",
        "a:\n- ~/b\n- 'c d'\n\nb: \"x: y\"\nc:\nd: ''\n",
    ],
)
def test_what_people_write_is_read_here(text):
    assert fast_yaml.read(text.encode()) == strictly(text)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "- a\n", "a: b: c\n", "a: 1\na: 2\n", "null: 1\n", "a: |\n  b\n", "units:\n- a: 1\n", "é: 1\n",
     "a: 9223372036854775808\n", "a: x\n" * 3000, "".join(f"{' ' * pad}a:\n" for pad in range(70))],
)  # fmt: skip
def test_all_else_is_left_to_the_strict_reader(text):
    assert fast_yaml.read(text.encode()) is None
