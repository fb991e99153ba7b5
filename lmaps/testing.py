"""Tests for authors of handlers: run a handler as a worker does, check its contract, try it in a real daemon.

As a pytest plugin (``pytest_plugins = ["lmaps.testing"]``) it has two fixtures: ``run_handler`` and ``lmaps_daemon``.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lmaps.client import Client
from lmaps.handlers.base import State, UnitHandler
from lmaps.handlers.python_runner import as_program
from lmaps.model.schema import Schema, lint
from lmaps.model.units import Unit, parse_unit
from lmaps.process import Line, Process, set_subreaper
from lmaps.util import yamlio

TIMEOUT_S = 60.0
"""How long a handler, or a daemon's start, may take."""
POLL_S = 0.005
EXIT_TIMEOUT_S = 30.0
SPECIAL_NAMES = [
    "items", "keys", "update", "__class__", "__globals__", "format", "self", "loop", "state", "unit", "{state}",
    "{file}", "argv", "__ansible_type", "__ansible_unsafe", "__ansible_vault", "_raw_params", "ansible_facts", "<<",
    "!unsafe",
]  # fmt: skip
"""Names of properties that tools or templates could take for something of their own."""


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of running a handler: exit code, whether it means success, counts of steps, output and events."""

    rc: int
    succeeded: bool
    summary: dict[str, int]
    output: str
    events: tuple[dict[str, Any], ...] = ()


def make_unit(text: str, directory: Path) -> Unit:
    """Return the unit in ``text`` (YAML), as if its file lay in ``directory``; raise what a daemon reports of it."""
    return parse_unit(yamlio.load(text, file=str(directory / "unit.yaml"))[0])


def run(handler: type[UnitHandler], unit: Unit, instances: Sequence[dict[str, Any]], *, plan: bool = False) -> Ran:
    """Run ``handler`` with these instances of ``unit``, as a worker does; with ``plan`` in its check mode."""
    state = State(unit, 1, list(instances), [unit.complete(document) for document in instances])
    instance = handler(context=unit)
    lines: list[Line] = []
    set_subreaper()  # a `Process` relies on it: else what the handler leaves running is neither found nor killed
    with tempfile.TemporaryDirectory(prefix="lmaps-") as name:
        folder = Path(name)
        if handler.is_pure_python():
            source = Path(sys.modules[handler.__module__].__file__ or "").parent
            program = as_program(unit, state, folder, [str(source)], "show" if plan else "apply")
        else:
            program = instance.plan(state, folder) if plan else instance.program(state, folder)
        process = Process(program, folder, lines.append)
        deadline = time.monotonic() + TIMEOUT_S
        while process.outcome is None:
            if time.monotonic() > deadline:
                process.stop(grace=0)
            select.select(process.fds(), [], [], 0.1)
            process.run_once()
    events = tuple(line.event for line in lines if line.event is not None)
    return Ran(
        process.outcome.rc,
        process.outcome.rc in program.success and not process.outcome.stopped,
        instance.summary(process.outcome, list(events), program),
        "".join(f"{line.text}\n" for line in lines if line.text),
        events,
    )


def hostile_texts(sentinel: Path) -> list[str]:
    """Return texts that a tool could take for code or markup; those that are programs create ``sentinel`` if run."""
    templates = [
        "{{ lookup('pipe', 'TOUCH') }}",
        "{% set x = lookup('pipe', 'TOUCH') %}{{ x }}",
        "{{ cycler.__init__.__globals__.os.system('TOUCH') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ hostvars }}", "{{ sites }}", "{{ undefined_variable }}", "{{", "}}", "{%", "%}", "{# comment #}",
        "#jinja2: variable_start_string:'[%'", "[[ 1 ]]", "${x}", "$(TOUCH)", "`TOUCH`", "; TOUCH", "| TOUCH",
    ]  # fmt: skip
    yaml_like = (
        "no yes on off true null ~ 0777 0x1f 0b1 1e3 1_000 12:30:45 2026-11-23 .inf .nan "
        "= << - * & ! % @ ` : ? , [ ] { }"
    ).split()
    markers = [
        "!unsafe x", "!vault |", "!!python/object/apply:os.system [id]", "__ansible_unsafe", "__ansible_vault",
        "&anchor", "*alias", "- item", "key: value", "# comment", "'", '"', "\\", "\\n", "a\\x41", "---", "...",
        "--- a", "$ANSIBLE_VAULT;1.1;AES256\n6162", "__omit_place_holder__a", "%{facts.os}", "<%= 1 %>", "{{ '{{' }}",
    ]  # fmt: skip
    spaces = ["", " ", "  lead", "trail  ", "a\nb", "a\n", "\n", "\t", "\r\n", "a\r"]
    characters = ["é", "日本語", "😀", "\u2028", "\x85", "\x01", "\x7f", "\u200b", "\ufeff"]
    templates = [text.replace("TOUCH", f"touch {sentinel}") for text in templates]
    return [*templates, *yaml_like, *markers, *spaces, *characters]


def check_contract(handler: type[UnitHandler]) -> None:
    """Raise AssertionError with the first rule of the contract that a handler breaks."""
    assert issubclass(handler, UnitHandler), f"{handler.__name__} is no subclass of UnitHandler"
    assert isinstance(getattr(handler, "type", None), str), f"{handler.__name__} has no type"
    first_line = (handler.__doc__ or "").strip().partition("\n")[0]
    assert first_line.endswith("."), "its docstring does not begin with a sentence"
    assert handler.preview in ("none", "partial", "full"), f"its preview is {handler.preview!r}"
    assert lint(handler.args_schema) == [], f"its args_schema has faults: {lint(handler.args_schema)}"
    assert Schema(handler.args_schema).findings({"not an argument": 1}), "its args_schema allows unknown arguments"
    program, pure = handler.program is not UnitHandler.program, handler.is_pure_python()
    assert program != pure, "it has to override either program or apply"
    shows = handler.show is not UnitHandler.show if pure else handler.plan is not UnitHandler.plan
    assert shows == (handler.preview != "none"), "its preview does not fit its check mode (show, plan)"
    assert handler.describe() == json.loads(json.dumps(handler.describe())), "it cannot be described as JSON"


class TemporaryDaemon:
    """A real ``lmapsd`` with a directory, units and a home of its own; `end` leaves nothing running."""

    def __init__(self, directory: Path, units: str, *options: str, **config: object) -> None:
        self.directory = directory
        self.config_file = directory / "lmaps.yaml"
        self.unit_dir = directory / "units"
        self.unit_dir.mkdir()
        for number, text in enumerate(filter(None, units.split("---\n"))):
            (self.unit_dir / f"unit{number}.yaml").write_text(text)
        settings = {
            "rpc": {"manager_bind": "ipc://m.sock", "worker_bind": "ipc://w.sock"},
            "db": "lmaps.db",
            "user": "root",
            "unit_dirs": ["units"],
        }
        self.config_file.write_text(json.dumps(settings | config))
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LMAPS_", "XDG_"))
        } | {"HOME": str(directory)}
        self.log = directory / "log"
        self.start(*options)

    def start(self, *options: str) -> None:
        """Start the daemon; also to restart one that has ended."""
        self.log.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own program)
                [_program("lmapsd"), "--config", self.config_file, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                cwd=self.directory,
            )

    def wait_ready(self) -> None:
        """Wait until the daemon reports that it is ready; raise AssertionError with its output if it ends instead."""
        deadline = time.monotonic() + TIMEOUT_S
        while "lmapsd: ready" not in self.output():
            assert self.process.poll() is None and time.monotonic() < deadline, self.output()
            select.select([], [], [], POLL_S)

    def output(self) -> str:
        """Return what the daemon has printed and logged."""
        return self.log.read_text(errors="replace")

    def lmaps(
        self, *args: str, stdin: str | bytes = b"", timeout: float = TIMEOUT_S
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``lmaps`` against this daemon."""
        done = subprocess.run(  # noqa: S603 (our own program)
            [_program("lmaps"), "--config", self.config_file, *args],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=self.environment,
            cwd=self.directory,
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def data(self, *args: str, **kwargs: Any) -> Any:
        """Run ``lmaps``, which has to succeed, and return what it prints as JSON."""
        done = self.lmaps(*args, "-o", "json", **kwargs)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def endpoint(self) -> str:
        """The manager's URI."""
        return f"ipc://{self.directory}/m.sock"

    def client(self, timeout: float = 30.0) -> Client:
        """Return a client of this daemon; ``timeout`` is in seconds."""
        return Client(self.endpoint, timeout)

    def end(self, number: int = signal.SIGINT) -> int:
        """End the daemon and return its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(10)


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


@pytest.fixture
def run_handler(tmp_path: Path) -> Callable[..., Ran]:
    """Run a handler: ``run_handler(Handler, unit_text, instances, plan=False)`` returns a `Ran`."""

    def run_text(handler: type[UnitHandler], unit: str, instances: Sequence[dict[str, Any]], **options: bool) -> Ran:
        return run(handler, make_unit(unit, tmp_path), instances, **options)

    return run_text


@pytest.fixture
def lmaps_daemon() -> Iterator[Callable[..., TemporaryDaemon]]:
    """Start real daemons: ``lmaps_daemon(units_text, plugin_dirs=[...])``; each key is one of the configuration."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as name:
        started: list[TemporaryDaemon] = []

        def start(units: str, **config: object) -> TemporaryDaemon:
            directory = Path(name) / str(len(started))
            directory.mkdir()
            started.append(TemporaryDaemon(directory, units, **config))
            started[-1].wait_ready()
            return started[-1]

        yield start
        for daemon in started:
            daemon.end()
