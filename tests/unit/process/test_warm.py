"""A warm start is the same as a plain one; with a small program in Python. Ansible's are in the integration tests."""

import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from lmaps.process import (
    ForkServers,
    Line,
    Outcome,
    Process,
    Program,
    WarmStart,
    descendants,
    set_subreaper,
    sweep_tag,
    warm,
)
from lmaps.process.warm import ForkedChild
from tests.daemons import is_alive, until

TELL = """\
#!{python}
import ctypes, json, os, random, resource, signal, sys, tempfile
mask = os.umask(0)
death = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(death))
open(0, closefd=False)
print(json.dumps(dict(
    argv=sys.argv, name=__name__, file=__file__, path=sys.path, flags=str(sys.flags), cwd=os.getcwd(), umask=mask,
    stdin=sys.stdin.read(), environment=dict(os.environ), seen=sorted(open("/proc/self/environ").read().strip("\\0").split("\\0")),
    command=open("/proc/self/cmdline").read().strip("\\0").split("\\0"), leader=os.getpid() == os.getsid(0) == os.getpgrp(),
    child=os.getppid() == int(sys.argv[1]), fds=[os.path.exists(f"/proc/self/fd/{{fd}}") for fd in range(3)],
    others=len(os.listdir("/proc/self/fd")), death=death.value,
    limits=[resource.getrlimit(each) for each in range(16)], priority=os.getpriority(0, 0), groups=os.getgroups(),
    oom=open("/proc/self/oom_score_adj").read(), scheduler=os.sched_getscheduler(0), cpus=sorted(os.sched_getaffinity(0)),
    status=[line for line in open("/proc/self/status") if line.startswith(("Uid", "Gid", "Cap", "NoNew", "Seccomp:", "Sig", "Umask"))
        and not line.startswith("SigQ")],
    mask=[str(each) for each in signal.pthread_sigmask(0, [])],
    handlers=[str(signal.getsignal(each)) for each in (1, 2, 13, 15, 17)], streams=[sys.stdout.encoding, sys.stderr.errors],
)))
sys.stderr.write("done\\n")
"""


class Runner:
    """Runs a program as a worker does, first plainly, and warm as soon as its fork server is ready."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.program = self.programs / "program"
        self.preparation = folder / "preparation.py"
        self.preparation.write_text("import json, random, tempfile\ndef renew(changed): pass\n")
        self.starts = ForkServers()
        self.lines: list[Line] = []
        self.runs = 0

    def write(self, text: str) -> None:
        self.program.write_text(
            text.format(python=sys.executable) if "{python}" in text else f"#!{sys.executable}\n{text}"
        )
        self.program.chmod(0o755)

    def start(self, *arguments: str, **options: object) -> Process:
        self.runs += 1
        folder = self.folder / str(self.runs)
        folder.mkdir()
        how = WarmStart(self.preparation, frozenset({"LMAPS_JOB", "MINE"}))
        program = Program((str(self.program), *arguments), warm=how, **options)  # type: ignore[arg-type]
        self.lines.clear()
        return Process(program, folder, self.lines.append, self.starts)

    def finish(self, process: Process) -> Outcome:
        while process.outcome is None:
            left = None if process.deadline is None else max(0.0, process.deadline - time.monotonic())
            select.select(process.fds(), [], [], 20 if left is None else left)
            process.run_once()
        return process.outcome

    def run(self, *arguments: str, **options: object) -> Outcome:
        return self.finish(self.start(*arguments, **options))

    def warm_up(self) -> None:
        """Have a fork server that is ready."""
        self.run()
        until(lambda: any(server.is_ready() for server in self.starts.servers()))

    def run_warm(self, *arguments: str, **options: object) -> Outcome:
        process = self.start(*arguments, **options)
        assert isinstance(process.child, ForkedChild)
        return self.finish(process)

    @property
    def text(self) -> list[str]:
        return [line.text for line in self.lines]


@pytest.fixture
def runner(tmp_path):
    set_subreaper()
    made = Runner(tmp_path)
    yield made
    made.starts.close()
    assert descendants(os.getpid()) == []


def test_a_run_cannot_tell_how_it_was_started(runner):
    runner.write(TELL)
    told = []
    for _ in range(3):
        process = runner.start(
            str(os.getpid()), "a b", stdin=b"in", events=True, environment={"MINE": str(runner.runs)}
        )
        assert runner.finish(process).rc == 0
        assert runner.text[0] == "done"
        told.append((json.loads(runner.text[1]), isinstance(process.child, ForkedChild)))
        until(lambda: any(server.is_ready() for server in runner.starts.servers()))
    (plain, was), (first, first_was), (second, second_was) = told
    assert (was, first_was, second_was) == (False, True, True)
    assert plain["environment"]["MINE"] == "0"
    for number, told_warm in (("1", first), ("2", second)):
        job = plain["environment"]["LMAPS_JOB"].removesuffix("1") + str(int(number) + 1)
        expected = json.loads(
            json.dumps(plain)
            .replace(plain["environment"]["LMAPS_JOB"], job)
            .replace('"MINE": "0"', f'"MINE": "{number}"')
            .replace("MINE=0", f"MINE={number}")
        )
        event = told_warm["environment"]["LMAPS_EVENT_FD"]
        expected["environment"]["LMAPS_EVENT_FD"] = event
        expected["seen"] = sorted(f"{name}={value}" for name, value in expected["environment"].items())
        assert told_warm == expected


def test_exit_codes_and_tracebacks(runner):
    runner.write("import os, sys; exec(sys.argv[1] if sys.argv[1:] else '')")
    runner.warm_up()
    assert runner.run_warm("sys.exit(3)").rc == 3
    assert runner.run_warm("sys.exit('why')").rc == 1
    assert runner.text == ["why"]
    assert runner.run_warm("os.kill(os.getpid(), 9)").rc == -9
    assert runner.run_warm("1 / 0").rc == 1
    assert runner.text[-1] == "ZeroDivisionError: division by zero"


LAST_WORDS = """\
import atexit, os, sys, threading, time
mine = open("mine", "w")
mine.write("kept")
gate, opened = os.pipe()
atexit.register(lambda: print("at exit", os.path.getsize("mine")))
def last():
    os.read(gate, 1)
    print("thread")
threading.Thread(target=last).start()
threading.Thread(target=time.sleep, args=[600], daemon=True).start()
os.write(opened, b".")
print("main")
sys.exit({code})
"""


@pytest.mark.parametrize(("code", "rc"), [("0", 0), ("None", 0), ("True", 1), ("2", 2), ("256", 0), ("-1", 255)])
def test_an_end_leaves_nothing_out(runner, code, rc):
    """Threads are waited for, but for daemons; then comes what is to be done at exit; what was written is there."""
    runner.write(LAST_WORDS.format(code=code))

    def ended(outcome):
        return outcome.rc, sorted(runner.text), (runner.folder / str(runner.runs) / "mine").read_text()

    assert ended(runner.run()) == (rc, ["at exit 0", "main", "thread"], "kept")
    until(lambda: any(server.is_ready() for server in runner.starts.servers()))
    assert ended(runner.run_warm()) == (rc, ["at exit 0", "main", "thread"], "kept")


def test_two_runs_share_nothing_that_is_random(runner):
    runner.write(
        "import random, tempfile, json; print(random.random(), next(tempfile._get_candidate_names())); json.mine = getattr(json, 'mine', 0) + 1; print(json.mine)"
    )
    runner.warm_up()
    seen = set()
    for _ in range(3):
        runner.run_warm()
        assert runner.text[1] == "1"
        seen.update(runner.text[0].split())
    assert len(seen) == 6


def test_stop_ends_a_warm_run_and_spares_the_helper(runner):
    runner.write(
        "import sys, os, signal, subprocess\nif sys.argv[1:]:\n    subprocess.Popen(['sleep', '89'], start_new_session=True); exec(sys.argv[1]); print('up', flush=True); signal.pause()"
    )
    runner.warm_up()
    [server] = descendants(os.getpid())
    for more, rc in (("", -signal.SIGTERM), ("signal.signal(15, signal.SIG_IGN)", -signal.SIGKILL)):
        process = runner.start(more)
        assert isinstance(process.child, ForkedChild)
        while "up" not in runner.text:
            select.select(process.fds(), [], [], 20)
            process.run_once()
        process.stop(grace=0.1)
        assert runner.finish(process) == Outcome(rc, (), True)
        assert descendants(os.getpid()) == [server]


def test_a_killed_worker_leaves_nothing_of_a_warm_run(tmp_path):
    """The worker is killed with -9: the fork server goes by itself, and what the run has started is found by its tag."""
    set_subreaper()
    pid = os.fork()
    if pid == 0:
        try:
            _work_for_ever(tmp_path)
        finally:
            os._exit(1)
    try:
        until(lambda: (tmp_path / "up").exists())
        folder = tmp_path / "2"
        below = until(lambda: len(found := descendants(pid)) == 3 and found)
        tag = f"LMAPS_JOB={folder}".encode()
        assert sum(tag in Path(f"/proc/{p}/environ").read_bytes().split(b"\0") for p in below) == 2
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert sweep_tag(folder) == 2
    until(lambda: not any(is_alive(p) for p in below))


def _work_for_ever(folder: Path) -> None:
    set_subreaper()
    runner = Runner(folder)
    runner.write(
        "import os, signal, sys\n"
        "if sys.argv[1:]:\n"
        "    signal.signal(15, signal.SIG_IGN)\n"
        "    os.fork() or os.setsid()\n"
        "    signal.pause()\n"
    )
    runner.warm_up()
    if isinstance(runner.start("stay").child, ForkedChild):
        (folder / "up").touch()
        signal.pause()


def test_a_program_that_changes_is_loaded_anew(runner, caplog):
    runner.write("import version; print(version.it)")
    (runner.programs / "version.py").write_text("it = 1\n")
    runner.preparation.write_text("import version\ndef renew(changed): pass\n")
    runner.warm_up()
    runner.run_warm()
    assert runner.text == ["1"]
    (runner.programs / "version.py").write_text("it = 'another'\n")
    with caplog.at_level("INFO"):
        runner.run()
    assert runner.text == ["another"]
    runner.warm_up()
    runner.run_warm()
    assert runner.text == ["another"]
    assert caplog.messages == [f"{runner.program} is loaded anew: {runner.programs / 'version.py'} has changed"]


@pytest.mark.parametrize("change", ["preparation", "what it has read"])
def test_a_preparation_that_changes_is_loaded_anew(runner, tmp_path, change):
    runner.write("import json; print(json.mine)")
    (tmp_path / "settings").write_text("1")
    text = f"import json\nREAD = ({str(tmp_path / 'settings')!r},)\njson.mine = open(READ[0]).read() + 'a'\ndef renew(changed): pass\n"
    runner.preparation.write_text(text)
    runner.warm_up()
    runner.run_warm()
    assert runner.text == ["1a"]
    if change == "preparation":
        runner.preparation.write_text(text.replace("'a'", "'another'"))
    else:
        (tmp_path / "settings").write_text("2")
    runner.run()
    runner.warm_up()
    runner.run_warm()
    assert runner.text == ["1another" if change == "preparation" else "2a"]


@pytest.mark.parametrize("seen", [False, True])
def test_a_fork_server_that_was_killed_is_told_of_once_and_replaced(runner, caplog, seen):
    runner.write("print('hi')")
    runner.warm_up()
    [server] = descendants(os.getpid())
    os.kill(server, signal.SIGKILL)
    if seen:
        until(lambda: not is_alive(server))
    with caplog.at_level("INFO"):
        assert runner.run().rc == 0
        assert runner.text == ["hi"]
        runner.warm_up()
        runner.run_warm()
    assert runner.text == ["hi"]
    [message] = caplog.messages
    assert message.startswith(f"{runner.program} is loaded anew: its fork server ")


def test_a_fork_server_that_hangs_is_given_up(runner, caplog, monkeypatch):
    """A run that it may have been told of never begins."""
    monkeypatch.setattr(warm, "FORK_TIMEOUT_S", 0.1)
    runner.write("import os; print(os.getpid())")
    runner.warm_up()
    [server] = descendants(os.getpid())
    os.kill(server, signal.SIGSTOP)
    with caplog.at_level("INFO"):
        assert runner.run().rc == 0
    assert len(runner.text) == 1
    assert caplog.messages == [f"{runner.program} is loaded anew: its fork server has not answered"]
    assert not is_alive(server)


def test_few_descriptors_are_enough(runner):
    runner.write("print('hi')")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    try:
        runner.warm_up()
        runner.run_warm(events=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert runner.text == ["hi"]


@pytest.mark.parametrize("broken", ["import no_such_module", "print('I say something')"])
def test_what_cannot_be_loaded_is_told_of_once_and_started_plainly(runner, caplog, broken):
    runner.write("print('hi')")
    runner.preparation.write_text(broken + "\ndef renew(changed): pass\n")
    runner.run()
    [server] = runner.starts.servers()
    until(lambda: not server.is_ready() and caplog.messages)
    for _ in range(2):
        process = runner.start()
        assert not isinstance(process.child, ForkedChild)
        runner.finish(process)
        assert runner.text == ["hi"]
    [message] = caplog.messages
    assert message.startswith(f"{runner.program} is not started warm: ")
    assert ("no_such_module" in message) or ("I say something" in message)


def test_a_program_that_is_not_written_in_python_is_started_plainly(runner):
    runner.write("{python}")
    runner.program.write_text("#!/bin/sh\necho hi\n")
    runner.run()
    assert runner.text == ["hi"]
    assert runner.starts.servers() == []
