"""Undo as a table: a tiny language, one line a case.

A word is one request about the unit ``t``, whose instances are letters with a number (1 unless given):

    ab     create a and b             <      rollback            +ab3   import, merge
    a=2    set a to 2                 <2     rollback --steps 2  ?ab3   import, skip
    -ab    delete a and b             @3     rollback --to r3    *ab3   import, replace
    !2     revert r2                  >  >2  redo, --steps 2

``word:code`` is refused with this code and changes nothing. After the story stand the state, what redo would bring
back (next first), and the newest revision.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import LmapsError
from tests.in_process import InProcess

UNIT = """\
meta: {name: t, primary_key: k, data_type: YamlList}
params: {type: object, required: [k], properties: {k: {type: string}, n: {type: integer, default: 1}}}
"""


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path, UNIT) as made:
        yield made


def documents(text: str) -> list[dict[str, object]]:
    return [{"k": k} | ({"n": int(n)} if n else {}) for k, n in re.findall(r"([a-z])(\d*)", text)]


def do(lmaps: InProcess, word: str) -> None:
    sign, rest = word[0], word[1:]
    many: dict[str, Any] = {"units": [{"unit": "t", "instances": documents(rest)}], "max_deletes": 9}
    steps: dict[str, Any] = {"steps": int(rest)} if rest.isdigit() else {}
    if sign == "<":
        lmaps.call("rollback", unit="t", **steps)
    elif sign == "@":
        lmaps.call("rollback", unit="t", to=rest)
    elif sign == ">":
        lmaps.call("redo", unit="t", **steps)
    elif sign == "!":
        lmaps.call("revert", unit="t", revision=rest)
    elif sign == "-":
        lmaps.call("delete", unit="t", ids=list(rest))
    elif sign in "+?*":
        lmaps.call("import", mode={"+": "merge", "?": "skip", "*": "replace"}[sign], **many)
    elif rest.startswith("="):
        lmaps.call("set", unit="t", id=sign, set=[{"path": "/n", "value": int(rest[1:])}])
    else:
        lmaps.call("create", unit="t", instances=documents(word))


def told(lmaps: InProcess) -> tuple[str, str, int]:
    rows = lmaps.call("show", unit="t").extra["state"]
    state = "".join(row["k"] + (str(row["n"]) if row["n"] != 1 else "") for row in rows)
    undone = lmaps.call("export", units=["t"]).extra["units"][0]["undone"]
    redo = "".join(each["k"] + str(each.get("n", "")) for each in undone)
    return state, redo, int(lmaps.call("status").extra["revision"])


@pytest.mark.parametrize(
    "case",
    [
        # create, set, delete
        "                         |      |     | 0",
        "a                        | a    |     | 1",
        "ab                       | ab   |     | 1",
        "a a                      | a    |     | 1",
        "a a2:exists              | a    |     | 1",
        "a b=2                    | ab2  |     | 2",
        "a a=2                    | a2   |     | 2",
        "a a=1                    | a    |     | 1",
        "ab -a                    | b    |     | 2",
        "a -ab:not-found          | a    |     | 1",
        "abc -ac                  | b    |     | 2",
        # rollback
        "<                        |      |     | 0",
        "a <                      |      | a   | 2",
        "a < <                    |      | a   | 2",
        "a b < <                  |      | ab  | 4",
        "a b < c                  | ac   |     | 4",
        "a b < c < <              |      | ac  | 6",
        "a a=2 <                  | a    | a2  | 3",
        "abc -b <                 | abc  |     | 3",
        "abc -b < <               |      | abc | 4",
        "abc b=2 -b < <           | abc  | b2  | 5",
        "a b c <2                 | a    | bc  | 4",
        "a b c <9                 |      | abc | 4",
        "a a=2 a=3 <2             | a    | a2a3| 4",
        "a -a a <3                |      | aa  | 4",
        # redo
        ">                        |      |     | 0",
        "a >                      | a    |     | 1",
        "a < >                    | a    |     | 3",
        "a < > >                  | a    |     | 3",
        "a b < < >                | a    | b   | 5",
        "a b < < > >              | ab   |     | 6",
        "a b < < > <              |      | ab  | 6",
        "a b c <3 >2              | ab   | c   | 5",
        "a b c <3 > > >           | abc  |     | 7",
        "a b c < < > < < > >      | ab   | c   | 10",
        "a b < c >                | ac   |     | 4",
        "a b < < c <              |      | c   | 6",
        "a b < < > c < <          |      | ac  | 8",
        "a -a < >                 |      |     | 4",
        # rollback --to
        "a b c @1                 | a    |     | 4",
        "a b c @1 <               | abc  |     | 5",
        "a b c @1 < >             | a    |     | 6",
        "a b c @1 @3              | abc  |     | 5",
        "a b c @0                 |      |     | 4",
        "a b < @2                 | ab   |     | 4",
        "a @1                     | a    |     | 1",
        "a @2:not-found           | a    |     | 1",
        "abc -b @1                | abc  |     | 3",
        "a b < d @2 <             | ad   | b   | 6",
        # revert
        "a b !1                   | b    |     | 3",
        "a b !1 <                 | ab   |     | 4",
        "a b !1 < >               | b    |     | 5",
        "a b !2                   | a    |     | 3",
        "a a=2 b !2               | ab   |     | 4",
        "a a=2 a=3 !2:revert-conflict | a3 |   | 3",
        "a a=2 !1:revert-conflict | a2   |     | 2",
        "ab -a c !2               | abc  |     | 4",
        "a b !1 !3                | ab   |     | 4",
        "a b !1 !1                | b    |     | 3",
        "a -a !1                  |      |     | 2",
        "ab -a a2 !2:exists       | ba2  |     | 3",
        "a !7:not-found           | a    |     | 1",
        "a b < !2:conflict        | a    | b   | 3",
        "a b < !3:conflict        | a    | b   | 3",
        "a b < > !4:conflict      | ab   |     | 4",
        "a b < > !2               | a    |     | 5",
        # import
        "a +ab3                   | ab3  |     | 2",
        "a +a3b3 <                | a    | a3b3| 3",
        "a ?a3b3                  | ab3  |     | 2",
        "a +a                     | a    |     | 1",
        "ab *b                    | b    |     | 2",
        "ab *ba                   | ba   |     | 2",
        "ab *ba <                 | ab   | a   | 3",
        "ab *ba < >               | ba   |     | 4",
        "abc *a2c                 | a2c  |     | 2",
        "abc *a2c < >             | a2c  |     | 4",
        "ab *cab                  | cab  |     | 2",
        "ab *                     |      |     | 2",
        "ab * <                   | ab   |     | 3",
        "a +aa2:invalid           | a    |     | 1",
        "a b < +c >               | ac   |     | 4",
        # all of it
        "ab a=2 -b < !2 @1 < > c  | abc  |     | 8",
        "a b=2 < *cb3 !2:conflict | cb3  |     | 4",
    ],
)
def test_a_story(lmaps: InProcess, case: str) -> None:
    story, state, redo, revision = (part.strip() for part in case.split("|"))
    for step in story.split():
        word, _, code = step.partition(":")
        if not code:
            do(lmaps, word)
            continue
        before = told(lmaps)
        with pytest.raises(LmapsError) as refused:
            do(lmaps, word)
        assert (refused.value.code, told(lmaps)) == (code, before)
    assert told(lmaps) == (state, redo, int(revision))
    assert lmaps.replayed() == int(revision)
