"""Text for people: what is escaped, that data stays the same, how wide it is; and that output takes no other way."""

import ast
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from lmaps.cli import render
from lmaps.util import terminal, yamlio

LMAPS = Path(__file__).parents[3] / "lmaps"
HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e01ef"
"""Of the default ignorable characters those of other categories; Python has no table of that property."""
HIDDEN = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in HIDDEN_CATEGORIES]
HOSTILE = "".join(character for character in HIDDEN if not "\ud800" <= character <= "\udfff") + FILLERS


def test_every_control_format_and_separator_character_is_escaped():
    assert len(HIDDEN) > 2048 + 65 + 150
    seen = [
        f"U+{ord(character):X}" for character in (*HIDDEN, *FILLERS) if character in terminal.visible(f"a{character}b")
    ]
    assert seen == []


def test_nothing_else_is_escaped():
    shown = "".join(
        character
        for character in map(chr, range(0x110000))
        if unicodedata.category(character) not in (*HIDDEN_CATEGORIES, "Mn", "Cn") and character not in FILLERS
    )
    assert terminal.visible(shown) == shown
    assert "\\" in shown
    assert "\u3000" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2J\x9b\x7f\x00", r"a\x1b[2J\x9b\x7f\x00"),
        ("a\u202eb\u2066\ufeff\xad\u200b", r"a\u202eb\u2066\ufeff\xad\u200b"),
        ("a\nb\tc\r\u2028", r"a\nb\tc\r\u2028"),
        ("\U000e0041\ud800", r"\U000e0041\ud800"),
        (r"a\x1b", r"a\x1b"),
        ("grüße 日本 👍 نعم", "grüße 日本 👍 نعم"),
    ],
)
def test_a_text_is_shown_as_one_line(text, shown):
    assert terminal.visible(text) == shown
    assert terminal.visible(shown) == shown
    assert terminal.visible_lines(text) == shown.replace(r"\n", "\n")


def test_tabs_of_a_program_keep_its_columns():
    assert terminal.visible_output("a\tb\x1b\n") == r"a       b\x1b\n"


VALUES = [
    HOSTILE,
    *(f"a{character}b" for character in HOSTILE),
    *HOSTILE,
    "\\u202e\u202e\\",
    "x" * 118 + "\u202e" + " y\u200b" * 60,
    "two\nlines\u2028",
    " \u202e: #",
]


@pytest.mark.parametrize("form", ["json", "pretty", "yaml", "dict"])
def test_data_is_the_same_and_hides_nothing(form):
    data = {"values": VALUES, "keys": dict.fromkeys(VALUES, "v")}
    text = render.render(data, form)
    assert not set(HOSTILE) & set(text) - {"\n"}
    read = {"yaml": lambda: yamlio.load(text)[0].value, "dict": lambda: ast.literal_eval(text)}
    assert read.get(form, lambda: json.loads(text))() == data


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("日本", 4), ("👍", 2), ("e\u0301", 1), ("ｱ", 1), ("한국", 4), ("\u1112\u1161\u11ab", 2), ("नि", 2)],
)
def test_the_width_of_a_text(text, columns):
    assert terminal.width(text) == columns
    assert terminal.padded(text, 6) == text + " " * (6 - columns)


def test_columns_stay_in_their_places():
    rows = [("日本\tx", "1"), ("abc", "2"), ("e\u0301", "3"), ("\u202e\n", "4")]
    assert terminal.aligned(rows, indent="") == [
        r"日本\tx   1",
        "abc       2",
        "e\u0301         3",
        r"\u202e\n  4",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a" * 10, "a" * 10),
        ("a" * 11, "a" * 7 + "..."),
        ("日本" * 3, "日本日..."),
        ("日本日本日", "日本日本日"),
        ("\u202e" * 3, r"\u202e..."),
        ("aaa\u202e\u202e", "aaa..."),
        ("e\u0301" * 10, "e\u0301" * 10),
    ],
)
def test_a_long_text_is_cut_by_its_columns(text, shown):
    assert terminal.shortened(text, 10) == shown


def test_new_ids_have_no_control_characters_and_may_have_joiners():
    refused = {character for character in HIDDEN if terminal.forbidden_in_names(f"a{character}") == character}
    controls = {character for character in HIDDEN if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")}
    bidi = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert refused == controls | bidi
    assert terminal.forbidden_in_names("नमस्\u200dते.example") is None


WAYS_OUT = {
    ("cli/session.py", "self.stdout.write"): "what `Session.write` has made visible",
    ("cli/session.py", "self.stderr.write"): "what `Session.print_error` has made visible",
    ("cli/texts.py", "getpass.getpass"): "a prompt, which it has made visible itself",
    ("supervisor/report.py", "print"): "what it has made visible itself",
    ("handlers/noop.py", "print"): "a job's output, which is made visible where it is shown",
    ("handlers/template.py", "print"): "a job's output",
    ("process/program.py", "print"): "a job's output",
    ("process/forker.py", "print"): "read by the process that started it",
    ("util/logs.py", "os.write"): "lines of the log, which its formatters have made visible",
}
"""The calls that print, each with why it may: all other text for people passes them."""


def printing_calls(root: Path) -> set[tuple[str, str]]:
    """Return every call below ``root`` that prints or prompts, by its file and its name."""
    calls = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and is_printing(name := ast.unparse(node.func), node.args):
                calls.add((str(file.relative_to(root)), name))
    return calls


def is_printing(name: str, args: Sequence[ast.expr]) -> bool:
    parts = name.split(".")
    if name == "os.write":
        return ast.unparse(args[0]) in ("1", "2")
    if name in ("print", "input") or parts[-1] in ("echo", "secho", "echo_via_pager", "prompt", "confirm", "getpass"):
        return parts[0] not in ("self", "session")
    return parts[-1] in ("write", "writelines") and bool({"stdout", "stderr", "__stdout__", "__stderr__"} & set(parts))


def test_output_takes_no_other_way():
    assert printing_calls(LMAPS) == WAYS_OUT.keys()


@pytest.mark.parametrize(
    "call",
    [
        "print('x')",
        "click.echo(x)",
        "sys.stdout.write(x)",
        "session.stderr.write(x)",
        "sys.stdout.buffer.write(x)",
        "getpass.getpass(x)",
    ],
)
def test_another_way_would_be_noticed(tmp_path, call):
    (tmp_path / "new.py").write_text(f"def f(x):\n    {call}\n")
    assert printing_calls(tmp_path) == {("new.py", call.partition("(")[0])}
