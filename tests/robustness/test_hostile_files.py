"""Files that are made to hurt whoever reads them: refused with a reason, quickly, or read as what they are."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps.cli.documents import read_documents
from lmaps.config.policy import parse_policy
from lmaps.errors import LmapsError
from lmaps.model.units import load_units_from
from tests.daemons import WEB, RunningDaemon

Figure = Callable[[str, str], None]
Start = Callable[..., RunningDaemon]

WITHIN = 0.3
"""Seconds for 64 kB."""
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]\n" for number in range(1, 9)
)
YAML: dict[str, bytes] = {
    "brackets": b"[" * 100_000,
    "braces": b"{" * 60_000,
    "braces with keys": b"{a: " * 16_000,
    "dashes": b"- " * 30_000,
    "question marks": b"? " * 30_000,
    "an indent each": b"".join(b" " * (number % 250) + b"a:\n" for number in range(500)),
    "deep mappings": b"\n".join(b" " * number + b"a:" for number in range(350)),
    "alias bomb": BOMB.encode(),
    "an alias to itself": b"a: &a [*a]\n",
    "merge keys": b"a: &a {x: 1}\nb: {<<: *a}\n",
    "many anchors": b"".join(b"- &a%d x\n" % number for number in range(6000)),
    "many keys": b"".join(b"k%d: 1\n" % number for number in range(6000)),
    "a key twice": b"a: 1\n" * 10_000,
    "many documents": b"---\n" * 16_000,
    "python object": b"host: !!python/object/apply:os.system [id]\n",
    "python name": b"!!python/name:os.system\n",
    "binary": b"host: !!binary |\n  R0lGODlh\n",
    "own tag": b"host: !vault x\n",
    "a thousand tags": b"- !!set {a}\n" * 5000,
    "directives": b"%YAML 9.9\n%TAG ! tag:x,2000:\n---\nhost: x\n",
    "no": b"host: no\n",
    "octal": b"host: 0777\n",
    "a time": b"host: 12:30:45\n",
    "a date": b"host: 2026-11-23\n",
    "infinity": b"host: .inf\n",
    "a number of 4,000 digits": b"host: " + b"9" * 4000 + b"\n",
    "1e999999999": b"host: 1e999999999\n",
    "a float of many digits": b"host: 1." + b"1" * 60_000 + b"\n",
    "a long word": b"host: " + b"x" * 64_000 + b"\n",
    "quotes": b'"' * 60_000,
    "an open quote": b"host: '" + b"x\n" * 30_000,
    "escapes": b'host: "' + b"\\x41" * 15_000 + b'"\n',
    "surrogate": b'host: "\\ud800"\n',
    "nul": b"host: a\x00b\n",
    "bom": b"\xef\xbb\xbfhost: x\n",
    "utf-16": "host: x\n".encode("utf-16"),
    "latin-1": b"host: caf\xe9\n",
    "tabs": b"host:\n\t- x\n",
    "comments": b"#" * 60_000 + b"\n",
    "colons": b":" * 60_000,
    "commas": b"[" + b"," * 60_000 + b"]",
    "stars": b"*" * 60_000,
    "bangs": b"!" * 60_000,
    "block scalars": b"a: |\n" + b" \n" * 30_000,
    "line breaks": b"\n" * 64_000,
    "carriage returns": b"\r" * 64_000,
    "null": b"",
    "zeros": bytes(64_000),
    "every byte": bytes(range(256)) * 250,
}
JSON: dict[str, bytes] = {
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 30_000 + b"]" * 30_000,
    "braces": b'{"a":' * 12_000,
    "an open string": b'"' + b"x" * 64_000,
    "a number of 64,000 digits": b"9" * 64_000,
    "minus": b"-" * 64_000,
    "1e999": b'{"host": 1e999}',
    "10 to the 5000": b'{"host": 1' + b"0" * 5000 + b"}",
    "NaN": b'{"host": NaN}',
    "a key twice": b'{"a":1,"a":2}',
    "many keys twice": b"{" + b",".join(b'"k%d":1,"k%d":1' % (number, number) for number in range(2500)) + b"}",
    "surrogate": b'{"host": "\\ud800"}',
    "commas": b"[" + b"," * 60_000 + b"]",
    "many zeros": b"[" + b"0," * 30_000 + b"0]",
    "not UTF-8": b'{"host": "\xff"}',
    "blanks": b" " * 64_000,
    "nothing": b"",
    "comments": b"//" * 30_000,
    "escapes": b'["' + b"\\u0041" * 10_000 + b'"]',
}
FILES = [(f"{name}.yaml", text) for name, text in YAML.items()] + [
    (f"{name}.json", text) for name, text in JSON.items()
]


def seconds(function: Callable[[], object]) -> float:
    """How long it takes; what it refuses it says in one sentence."""
    begin = time.process_time()
    try:
        function()
    except LmapsError as refused:
        assert refused.message.startswith("cannot "), refused
    return time.process_time() - begin


def test_every_file_is_read_or_refused_at_once(tmp_path: Path, figure: Figure) -> None:
    slowest = (0.0, "")
    for name, text in FILES:
        file = tmp_path / name.replace("/", "-")
        file.write_bytes(text)
        readers: dict[str, Callable[[], object]] = {"instances": lambda: read_documents([str(file)])}  # noqa: B023
        if name.endswith(".yaml"):
            readers |= {
                "policy": lambda: parse_policy(text, name),  # noqa: B023
                "units": lambda: load_units_from([(name, text)]),  # noqa: B023
            }
        for kind, read in readers.items():
            slowest = max(slowest, (seconds(read), f"{name} as {kind}"))
    assert slowest[0] < WITHIN, slowest
    figure("42 YAML and JSON bombs", f"{len(FILES)} files by 3 readers, the slowest {slowest[0]:.2f} s ({slowest[1]})")


@pytest.mark.parametrize("name", ["alias bomb.yaml", "python object.yaml", "braces.yaml", "brackets.json"])
def test_the_command_says_what_is_wrong(start_daemon: Start, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(dict(FILES)[name])
    daemon = start_daemon(WEB)
    refused = daemon.lmaps("create", "web", "-f", str(file))
    assert refused.returncode in (2, 3), refused
    assert refused.stderr.startswith("cannot ")
    assert name in refused.stderr
    assert "Traceback" not in refused.stderr + daemon.output()
