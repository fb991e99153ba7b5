"""Values that look like code: kept and given back byte by byte, and never run."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import LmapsError, ValidationFailed
from lmaps.testing import hostile_texts
from lmaps.util import yamlio
from lmaps.util.jsonio import canonical
from tests.daemons import BIN, RunningDaemon
from tests.in_process import InProcess

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]

EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD: dict[str, dict[str, Any]] = {
    "greetings": {"name": "Ann"},
    "mail": {"relay": "localhost", "sender": "a@b.org", "admins": ["a@b.org"], "signature": "s"},
    "packages": {"name": "nginx", "state": "present", "version": "1"},
    "site": {"name": "www", "title": "t", "port": 80, "owner": "a@b.org", "aliases": ["a.org"]},
    "vhosts": {"host": "a.org", "port": 80, "tls": False, "root": "/srv"},
    "free": {"text": "t", "list": ["t"], "object": {"t": "t"}},
}
"""Of each unit a document with every property."""
FREE = "meta: {name: free}\nhandler: {type: noop}\nparams: {type: object}\n"


def attacks(sentinel: Path) -> list[str]:
    """200 strings of those who want their value to be run; if one is, the sentinel appears."""
    touch = f"touch {sentinel}"
    shell = [f";{touch};", f"`{touch}`", f"$({touch})", f"| {touch}", f"&& {touch}", f"\n{touch}\n", f"'; {touch}; '"]
    shell += [
        f'"; {touch}; "',
        f"-e {touch}",
        f"--extra-vars=@{sentinel}",
        f"> {sentinel}",
        f"$'{touch}'",
        f"%0a{touch}",
    ]
    jinja = [
        f"{{{{ lookup('pipe', '{touch}') }}}}",
        f"{{% include '{sentinel}' %}}",
        f"{{{{ query('pipe','{touch}') }}}}",
    ]
    jinja += [f"{{%- set x = lookup('pipe','{touch}') -%}}", "{{ 7*7 }}", "#{7*7}", "${7*7}", "<%= 7*7 %>", "@(7*7)"]
    paths = ["../../etc/passwd", "/etc/passwd", "~/.ssh/id", "..", ".", "/", "\\..\\..", "file:///etc/passwd", "a/../b"]
    sql = [
        "'; DROP TABLE instance; --",
        "' OR '1'='1",
        '"; ATTACH "x" AS y; --',
        "%' ESCAPE '",
        "\\'; --",
        "?1",
        ":x",
        "@x",
    ]
    terminal = [
        "\x1b]0;x\x07",
        "\x1b[2J",
        "\x9b31m",
        "\x08" * 8,
        "a\rb",
        "\x00",
        "\x7f",
        "\u202ecod",
        "\ud7ff",
        "\uffff",
    ]
    python = [
        "__import__('os').system('x')",
        "%(x)s %s %n",
        "{0.__class__}",
        "{}",
        "\\N{BULLET}",
        "f'{x}'",
        "lambda: x",
    ]
    found = [*hostile_texts(sentinel), *shell, *jinja, *paths, *sql, *terminal, *python]
    found += [
        f"{before}{each}{after}"
        for each in (*shell, *jinja)
        for before, after in (("a ", " b"), ("'", "'"), ('"', '"'))
    ]
    return list(dict.fromkeys(found))[:200]


def replaced(document: dict[str, Any], text: str) -> Iterator[dict[str, Any]]:
    """The document with each of its properties made ``text``, and named so."""
    for name, value in document.items():
        if isinstance(value, list):
            yield document | {name: [text]}
        elif isinstance(value, dict):
            yield document | {name: {text: text}}
        else:
            yield document | {name: text}
    yield document | {text: text}


def test_values_come_back_as_they_were(tmp_path: Path, rounds: Rounds, seed: int, figure: Figure) -> None:
    units = "---\n".join([*(path.read_text() for path in sorted((EXAMPLES / "units").glob("*.yaml"))), FREE])
    sentinel = tmp_path / "sentinel"
    strings = random.Random(seed).sample(attacks(sentinel), rounds(25, 200))
    kept: dict[str, list[dict[str, Any]]] = {name: [] for name in GOOD}
    refused = 0
    with InProcess(tmp_path / "one", units) as one, InProcess(tmp_path / "two", units) as two:
        for text in strings:
            for unit, good in GOOD.items():
                for document in replaced(good, text):
                    try:
                        row = one.call("create", unit=unit, instances=[document]).extra["instances"][0]
                    except LmapsError as error:
                        assert error.level in (2, 3, 5), error
                        refused += 1
                        continue
                    [shown] = one.call("show", unit=unit, ids=[row["id"]], instances=True).extra["instances"]
                    assert canonical(shown["given"]) == canonical(document)
                    if row["result"] == "created":
                        kept[unit].append(document)
        exported = one.call("export").extra["units"]
        for told in exported:
            assert canonical(told["instances"]) == canonical(kept[told["unit"]])
            [again] = yamlio.load(yamlio.dump({"x": told["instances"]}))
            assert canonical(again.value["x"]) == canonical(told["instances"])
        bodies = [{"unit": told["unit"], "instances": told["instances"]} for told in exported]
        two.call("import", units=[body for body in bodies if body["instances"]])
        assert canonical(two.call("export").extra["units"]) == canonical(exported)
    assert not sentinel.exists()
    count = sum(map(len, kept.values()))
    assert count > 5 * len(strings)
    words = f"{len(strings)} strings by each property: {count:,} kept and given back byte by byte, {refused:,} refused"
    figure("T5 hostile values", words)


def test_the_command_line_gives_them_back(start_daemon: Start, short_path: Path, seed: int) -> None:
    """Through files of YAML, export, and import into an empty daemon; a terminal gets no control characters."""
    texts = [text for text in attacks(short_path / "sentinel") if _is_utf8(text)]
    documents = [{"text": text, text: "key"} for text in random.Random(seed).sample(texts, 60)]
    one, two = start_daemon(FREE), start_daemon(FREE)
    (short_path / "in.json").write_text(json.dumps(documents))
    created = one.lmaps("create", "free", "-f", str(short_path / "in.json"))
    assert created.returncode == 0, created.stderr
    (short_path / "out.yaml").write_text(one.lmaps("export", "free", "--yaml").stdout)
    imported = two.lmaps("import", str(short_path / "out.yaml"))
    assert imported.returncode == 0, imported.stderr
    with two.client() as client:
        found = [row["given"] for row in client.call("show", unit="free", instances=True).extra["instances"]]
    assert canonical(found) == canonical(documents)
    assert not (short_path / "sentinel").exists()


def _is_utf8(text: str) -> bool:
    return text.isprintable() or all(each.isprintable() or each in "\n\t" for each in text)


@pytest.mark.ansible
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not (BIN / "ansible-playbook").exists(), reason="ansible-playbook is not installed")
def test_real_playbooks_run_none_of_them(
    start_daemon: Start, short_path: Path, rounds: Rounds, seed: int, figure: Figure
) -> None:
    """Every value that an example unit takes goes through its real handler."""
    shutil.copytree(EXAMPLES, short_path / "examples")
    directories = {"unit_dirs": [f"{short_path}/examples/units"], "plugin_dirs": [f"{short_path}/examples/handlers"]}
    daemon = start_daemon("", workers=1, **directories)
    sentinel = short_path / "x"
    strings = random.Random(seed).sample(attacks(sentinel), rounds(5, 200))
    applied, runs = 0, 0
    with daemon.client(120) as client:
        for unit, prop in (("site", "title"), ("greetings", "name"), ("packages", "version")):
            for number, text in enumerate(strings):
                name = {"site": f"s{number}", "packages": f"p{number}"}.get(unit)
                try:
                    document = {prop: text} | ({"name": name} if name else {})
                    client.call("create", unit=unit, instances=[document])
                    applied += 1
                except ValidationFailed:
                    continue
            done = daemon.lmaps("apply", unit, timeout=900)
            runs += 1
            assert "Traceback" not in done.stderr
            assert done.returncode == 0 or unit == "greetings", done.stderr[-2000:]
            assert not sentinel.exists(), f"a value of {unit} was run"
        for text in strings[: rounds(1, 20)]:
            client.call("create", unit="mail", instances=[{"signature": text[:200], "sender": f"a{runs}@b.org"}])
            assert daemon.lmaps("apply", "mail", timeout=300).returncode == 0
            applied, runs = applied + 1, runs + 1
            assert not sentinel.exists(), text
    figure("T5 hostile values, applied", f"{applied:,} values in {runs} real runs: 0 executed")
