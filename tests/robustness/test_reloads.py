"""Unit files that break, go, or get stricter, and plugins that do: a reload is whole or not at all, and nothing is lost."""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmaps import Client
from lmaps.errors import LmapsError, UnitUnusable, ValidationFailed
from tests.daemons import RunningDaemon, until

Start = Callable[..., RunningDaemon]
Rounds = Callable[[int, int], int]
Figure = Callable[[str, str], None]
NAMES = ("a", "b", "c")

BROKEN: dict[str, str | bytes] = {
    "a list that does not end": "meta: [",
    "a tab": "meta:\n\tname: c\n",
    "a key that is given twice": "meta: {name: c}\nmeta: {name: c}\n",
    "a list": "- meta\n",
    "a number": "7\n",
    "no name": "meta: {}\n",
    "a name that is taken": "meta: {name: a}\n",
    "a name that is a path": "meta: {name: ../c}\n",
    "no meta": "params: {}\n",
    "another data type": "meta: {name: c, data_type: Yaml}\n",
    "an unknown key": "meta: {name: c}\nhandlers: {}\n",
    "a handler that is not there": "meta: {name: c}\nhandler: {type: nope}\n",
    "an argument too many": "meta: {name: c}\nhandler: {type: noop, args: {x: 1}}\n",
    "an argument too few": "meta: {name: c}\nhandler: {type: command}\n",
    "a duration without a unit": "meta: {name: c}\nhandler: {timeout: 5}\n",
    "a schema that is none": "meta: {name: c}\nparams: 7\n",
    "a type that is none": "meta: {name: c}\nparams: {type: objekt}\n",
    "a schema from elsewhere": "meta: {name: c}\nparams: {$ref: 'http://127.0.0.1:9/x.json'}\n",
    "a pattern that is none": "meta: {name: c}\nparams: {properties: {x: {pattern: '('}}}\n",
    "an object of Python": "meta: !!python/object/apply:os.getpid []\n",
    "no UTF-8": b"meta: {name: c\xff}\n",
    "a byte of zero": b"meta: {name: c}\x00\n",
    "brackets": "meta: " + "[" * 100_000,
    "aliases that grow": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\nmeta: {name: c}\n",
    "a number where yes or no is meant": "meta: {name: c, strict: 1}\n",
}


def text(name: str, generation: int) -> str:
    return (
        f"meta: {{name: {name}, data_type: YamlList, primary_key: id}}\nhandler: {{type: noop}}\n"
        f"params: {{type: object, required: [id], properties: {{id: {{type: string, description: 'set {generation}'}}}}}}\n"
    )


class Files:
    """The unit files of a daemon, and what they say."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.directory = daemon.unit_dir
        self.client = Client(daemon.endpoint)

    def write(self, generation: int) -> None:
        for number, name in enumerate(NAMES):
            (self.directory / f"unit{number}.yaml").write_text(text(name, generation))

    def spoil(self, content: str | bytes) -> None:
        """Put ``content`` into the place of the last one."""
        data = content.encode() if isinstance(content, str) else content
        (self.directory / "unit2.yaml").write_bytes(data)

    def served(self) -> list[str | None]:
        """What each unit of the set in use says of itself."""
        found: list[str | None] = []
        for name in NAMES:
            try:
                rows = self.client.call("explain", unit=name).extra["properties"]
            except LmapsError:
                found.append("gone")
            else:
                found.append(next((row["description"] for row in rows if row["path"] == "id"), None))
        return found

    def reload(self) -> ValidationFailed | None:
        """None if it was done."""
        try:
            self.client.call("reload")
        except ValidationFailed as refused:
            return refused
        return None


@pytest.fixture
def files(start_daemon: Start) -> Iterator[Files]:
    made = Files(start_daemon("---\n".join(text(name, 0) for name in NAMES)))
    with made.client:
        yield made


def test_each_broken_file_is_reported_and_keeps_the_old_set(files: Files, figure: Figure) -> None:
    told = 0
    for generation, (what, content) in enumerate(BROKEN.items(), 1):
        files.write(generation)
        files.spoil(content)
        refused = files.reload()
        assert refused is not None, what
        places = [finding.file or "" for finding in refused.errors]
        assert any(place.endswith("unit2.yaml") for place in places), (what, refused.errors)
        told += any(finding.line for finding in refused.errors)
        assert files.served() == ["set 0"] * 3, what
    files.write(99)
    assert files.reload() is None
    assert files.served() == ["set 99"] * 3
    figure("46 a reload with a broken file", f"{len(BROKEN)} kinds: each refused, {told} with line and column")


@pytest.mark.timeout(1800)
def test_no_reload_gives_half_a_set(files: Files, rounds: Rounds, seed: int, figure: Figure) -> None:
    """Every file is of a new generation each time, and one is cut, byte by byte, or spoiled somewhere."""
    rng, count = random.Random(seed), rounds(100, 10_000)
    last: list[str | None] = ["set 0"] * 3
    taken = 0
    for generation in range(1, count + 1):
        whole = text("c", generation).encode()
        place = generation % (len(whole) + 1)
        spoiled = bytes([*whole[:place], rng.randrange(256), *whole[place + 1 :]])
        files.write(generation)
        files.spoil(rng.choice([whole[:place], whole[:place], spoiled]))
        if files.reload() is None:
            taken += 1
            new = files.served()
            assert new[:2] == [f"set {generation}"] * 2
            assert new[2] in (f"set {generation}", None, "gone") or new[2] != last[2]
            last = new
        else:
            assert files.served() == last, f"half a set after {spoiled!r}"
    figure(
        "46 reloads while files are cut at each byte",
        f"{count:,} reloads, {taken:,} taken, {count - taken:,} refused: 0 half sets",
    )


def test_a_unit_whose_file_is_gone_keeps_its_instances(files: Files, figure: Figure) -> None:
    ask = files.client.call
    ask("create", unit="c", instances=[{"id": "x"}])
    ask("create", unit="c", instances=[{"id": "y"}])
    (files.directory / "unit2.yaml").unlink()
    assert files.reload() is None
    assert {row["unit"]: row["condition"] for row in ask("units").extra["units"]}["c"] == "orphaned"
    assert [row["id"] for row in ask("show", unit="c", instances=True).extra["instances"]] == ["x", "y"]
    assert len(ask("history", unit="c").extra["changesets"]) == 2
    assert ask("export", units=["c"]).extra["units"][0]["instances"] == [{"id": "x"}, {"id": "y"}]
    for verb, args in (("create", {"instances": [{"id": "z"}]}), ("apply", {})):
        with pytest.raises(UnitUnusable, match="its unit file is gone"):
            ask(verb, unit="c", **args)
    assert ask("rollback", unit="c").revision == 3
    files.write(5)
    assert files.reload() is None
    assert [row["id"] for row in ask("show", unit="c", instances=True).extra["instances"]] == ["x"]
    assert ask("redo", unit="c").revision == 4
    figure(
        "44 a unit file is removed", "show, history, export, rollback work; create, apply are refused; nothing is lost"
    )


STRICTER: Sequence[tuple[dict[str, Any], str]] = (
    ({"minLength": 4}, "a"),
    ({"maxLength": 0}, "a"),
    ({"pattern": "^z"}, "a"),
    ({"enum": ["z"]}, "a"),
    ({"const": "z"}, "a"),
    ({"type": "integer"}, "a"),
    ({"not": {"type": "string"}}, "a"),
    ({"format": "ipv4"}, "a"),
    ({"allOf": [{"minLength": 4}]}, "a"),
    ({"anyOf": [{"minLength": 4}, {"type": "null"}]}, "a"),
    ({"oneOf": [{"minLength": 4}]}, "a"),
    ({"minimum": 5}, "n"),
    ({"maximum": 1}, "n"),
    ({"exclusiveMinimum": 2}, "n"),
    ({"exclusiveMaximum": 2}, "n"),
    ({"multipleOf": 3}, "n"),
    ({"minItems": 3}, "l"),
    ({"maxItems": 1}, "l"),
    ({"uniqueItems": True}, "l"),
    ({"items": {"type": "string"}}, "l"),
    ({"contains": {"const": 9}}, "l"),
    ({"required": ["q"]}, "o"),
    ({"additionalProperties": False}, "o"),
    ({"minProperties": 2}, "o"),
    ({"maxProperties": 0}, "o"),
    ({"propertyNames": {"minLength": 3}}, "o"),
    ({"dependentRequired": {"x": ["y"]}}, "o"),
)
DOCUMENT = {"id": "i", "a": "abc", "n": 2, "l": [1, 1], "o": {"x": 1}}


def strict_text(keyword: dict[str, Any], place: str) -> str:
    properties: dict[str, Any] = {name: {} for name in DOCUMENT} | {"id": {"type": "string"}, place: keyword}
    schema = json.dumps({"type": "object", "required": ["id"], "properties": properties})
    return f"meta: {{name: c, data_type: YamlList, primary_key: id}}\nhandler: {{type: noop}}\nparams: {schema}\n"


def test_instances_that_a_stricter_schema_refuses_are_reported(files: Files, figure: Figure) -> None:
    ask = files.client.call
    files.spoil(strict_text({}, "a"))
    assert files.reload() is None
    ask("create", unit="c", instances=[DOCUMENT])
    for keyword, place in STRICTER:
        candidate = strict_text(keyword, place)
        told = files.client.call("unit_check", files=[{"name": "c.yaml", "text": candidate}])
        assert told.extra["units"], keyword
        files.spoil(candidate)
        assert files.reload() is None, keyword
        conditions = {row["unit"]: row["condition"] for row in ask("units").extra["units"]}
        assert conditions["c"] == "invalid", keyword
        with pytest.raises(LmapsError) as refused:
            ask("apply", unit="c")
        assert refused.value.errors, keyword
        assert refused.value.errors[0].at[:1] == (place,), (keyword, refused.value.errors)
        [row] = ask("show", unit="c", instances=True).extra["instances"]
        assert row["given"] == DOCUMENT, "nothing is mixed in"
    files.spoil(strict_text({}, "a"))
    assert files.reload() is None
    assert ask("apply", unit="c").code is None
    figure("45 a schema gets stricter", f"{len(STRICTER)} keywords: invalid, the place is named, apply refused")


PLUGINS = {
    "raises": "raise RuntimeError('not today')\n",
    "exits": "import sys\nsys.exit(3)\n",
    "empty": "",
    "syntax": "def (:\n",
    "hangs": "import time\nwhile True:\n    time.sleep(60)\n",
    "spins": "while True:\n    pass\n",
    "bad_class": "from lmaps.handlers.base import UnitHandler\nclass Bad(UnitHandler):\n    pass\n",
}


@pytest.mark.timeout(180)
def test_plugins_that_cannot_be_loaded_spare_the_others(start_daemon: Start, short_path: Path, figure: Figure) -> None:
    directory = short_path / "plugins"
    directory.mkdir()
    for name, source in PLUGINS.items():
        (directory / f"{name}.py").write_text(source)
    names = [*PLUGINS, "missing"]
    units = "".join(f"---\nmeta: {{name: u-{name}}}\nhandler: {{type: {name}}}\n" for name in names)
    daemon = start_daemon(text("a", 0) + units, plugin_dirs=[str(directory)])
    with daemon.client() as client:
        until(lambda: len(client.call("status").extra["workers"]) == 2, within=60)
        conditions = {row["unit"]: row["condition"] for row in client.call("units").extra["units"]}
        assert conditions == {"a": "in sync"} | {f"u-{name}": "broken" for name in names}
        told = {row["type"]: row.get("error") or "" for row in client.call("handlers").extra["handlers"]}
        assert "not today" in told["raises"]
        for name in ("hangs", "spins"):
            assert "longer than" in told[name], told[name]
        client.call("create", unit="a", instances=[{"id": "x"}])
        job = client.call("apply", unit="a").job
        assert client.call("job", job=job, wait_ms=30_000).extra["job"]["state"] == "succeeded"
        with pytest.raises(UnitUnusable, match="its handler is broken"):
            client.call("apply", unit="u-hangs")
        assert client.call("status").extra["counters"]["restarts"] == 0
    figure("47 plugins missing, raising, leaving, hanging", f"{len(names)} units broken, the others run")


def test_what_was_mended_is_used_at_once_after_a_reload(start_daemon: Start) -> None:
    unit = text("site", 0).replace("{type: noop}", "{type: ansible_playbook, args: {playbook: ../site.yml}}")
    daemon = start_daemon(unit, workers=1)
    with daemon.client() as client:
        with pytest.raises(UnitUnusable):
            client.call("create", unit="site", instances=[{"id": "a"}])
        (daemon.directory / "site.yml").write_text("[]\n")
        worker = daemon.pid_of("worker 1") or 0
        os.kill(worker, signal.SIGSTOP)  # it looks at the units only later
        client.call("reload")
        client.call("create", unit="site", instances=[{"id": "a"}])
        os.kill(worker, signal.SIGCONT)
