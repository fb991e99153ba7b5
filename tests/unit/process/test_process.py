import os
import re
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import HandlerFailed
from lmaps.process import Line, Outcome, Process, Program, descendants, set_subreaper, sweep_tag
from lmaps.process.output import HEAD_BYTES, MAX_LINE_CHARS, TAIL_BYTES, Events, LineReader, Output
from lmaps.protocol.work import Lines, encode
from lmaps.util import jsonio
from tests.daemons import is_alive, until


@pytest.fixture(autouse=True)
def subreaper():
    set_subreaper()


class Runner:
    """Runs programs as a worker does: one loop over their descriptors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[Line] = []

    def start(self, *argv: str, **program: Any) -> Process:
        return Process(Program(argv, **program), self.folder, self.lines.append)

    def turn(self, process: Process) -> None:
        left = None if process.deadline is None else max(0.0, process.deadline - time.monotonic())
        select.select(process.fds(), [], [], 20 if left is None else left)
        process.run_once()

    def finish(self, process: Process) -> Outcome:
        while process.outcome is None:
            self.turn(process)
        return process.outcome

    def run(self, *argv: str, **program: Any) -> Outcome:
        return self.finish(self.start(*argv, **program))

    def wait_for(self, process: Process, text: str) -> None:
        while not any(line.text == text for line in self.lines):
            self.turn(process)

    @property
    def text(self) -> list[str]:
        return [line.text for line in self.lines]


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


def test_output_and_exit_code(runner):
    assert runner.run("sh", "-c", "echo one; echo two >&2; printf three; exit 7") == Outcome(7)
    assert runner.text == ["one", "two", "three"]
    assert {line.stream for line in runner.lines} == {"output"}


@pytest.mark.parametrize(("rc", "words"), [(2, "exit code 2"), (-11, "signal SIGSEGV"), (-250, "signal 250")])
def test_an_outcome_in_words(rc, words):
    assert Outcome(rc).message == words


def test_standard_input_files_and_environment(runner, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "x")
    script = "cat; cat given; stat -c %a given; pwd; umask; env | sort"
    runner.run("sh", "-c", script, stdin=b"in\n", files={"given": b"file\n"}, environment={"MINE": "1"})
    assert runner.text[:5] == ["in", "file", "600", str(runner.folder), "0022"]
    names = {line.partition("=")[0] for line in runner.text[5:]}
    assert (
        {"HOME", "LANG", "LMAPS_JOB", "MINE", "PATH"}
        <= names
        <= {"HOME", "LANG", "LMAPS_JOB", "MINE", "PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    )


def test_a_program_sees_no_other_descriptor(runner):
    keep = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(keep, True)
    code = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd')))"
    runner.run(sys.executable, "-c", code, events=True)
    os.close(keep)
    shown = [int(fd) for fd in runner.text[0].strip("[]").split(", ")]
    assert shown[:3] == [0, 1, 2]
    assert len(shown) == 5  # the event pipe, and the directory that is listed


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ('{"text": {"a": [1, true]}}', '{"a":[1,true]}'),
        ('{"text": null}', "null"),
        ('{"text": "a"}', "a"),
        ('{"a": ' + "[" * 28 + "]" * 28 + "}", ""),
        ('{"a": ' + "[" * 29 + "]" * 29 + "}", "an event could not be read"),
    ],
)
def test_the_text_of_an_event(event, text):
    lines: list[Line] = []
    events = Events(lines.append)
    events.feed(event.encode() + b"\n")
    assert [line.text for line in lines] == [text]
    jsonio.decode(encode(Lines("token", 1, [line.to_json() for line in lines])))  # as the manager does


def test_events(runner):
    code = 'import os; os.write(int(os.environ["LMAPS_EVENT_FD"]), b\'{"event":"x","text":"hi","n":1}\\nnonsense\\n[1]\\n\')'
    runner.run(sys.executable, "-c", code, events=True)
    assert (runner.lines[0].stream, runner.lines[0].text, runner.lines[0].event) == (
        "event",
        "hi",
        {"event": "x", "n": 1},
    )
    assert [line.stream for line in runner.lines[1:]] == ["note", "note"]


def test_a_program_that_is_not_there(runner):
    with pytest.raises(HandlerFailed, match="cannot start /nothing/here"):
        runner.start("/nothing/here")


def test_stop_ends_everything_whatever_it_did_to_detach(runner):
    script = (
        "trap '' TERM; setsid sleep 98 & (setsid sh -c 'sleep 97 & sleep 96') & echo up; while :; do sleep 95; done"
    )
    process = runner.start("sh", "-c", script)
    runner.wait_for(process, "up")
    until(lambda: len(descendants(os.getpid())) >= 5)
    process.stop(grace=0.1)
    outcome = runner.finish(process)
    assert outcome.stopped
    assert outcome.rc == -signal.SIGKILL
    assert descendants(os.getpid()) == []


def test_stop_lets_a_program_end_by_itself(runner):
    process = runner.start("sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done")
    runner.wait_for(process, "up")
    process.stop(grace=20)
    assert runner.finish(process).rc == 5
    assert runner.text[-1] == "bye"


def test_what_a_success_leaves_running_is_named_and_spared(runner):
    outcome = runner.run("sh", "-c", "setsid sleep 94 >/dev/null 2>&1 & echo $!")
    left = int(runner.text[0])
    try:
        assert outcome.left_running == (left,)
        assert runner.text[-1] in (f"left running: sleep ({left})", f"left running: setsid ({left})")
        assert runner.run("sh", "-c", "exit 1").left_running == ()
        assert is_alive(left)
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_process_whose_name_is_no_text_is_named_too(runner):
    name = "open('/proc/self/comm', 'wb').write(b'a\\xff) R 1')"
    outcome = runner.run(sys.executable, "-c", f"import os, time; os.fork() or ({name}, os.setsid(), time.sleep(60))")
    [pid] = outcome.left_running
    try:
        until(lambda: Path(f"/proc/{pid}/comm").read_bytes() == b"a\xff) R 1\n")
        assert pid in descendants(os.getpid())
        assert re.fullmatch(rf"left running: (a\ufffd\) R 1|python.*) \({pid}\)", runner.text[-1])
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_pipe_that_is_held_open_does_not_hold_the_outcome(runner):
    outcome = runner.run("sh", "-c", "sleep 93 & echo done")
    assert runner.text[0] == "done"
    [left] = outcome.left_running
    os.kill(left, signal.SIGKILL)


def test_a_failure_leaves_nothing_running(runner):
    assert runner.run("sh", "-c", "sleep 92 & exit 1").left_running == ()
    assert descendants(os.getpid()) == []


def test_much_output_is_bounded(runner):
    count = 64 * 1024 * 1024
    runner.run("sh", "-c", f"yes 0123456789abcdef | head -c {count}")
    kept = sum(len(line.text) + 1 for line in runner.lines)
    assert kept < HEAD_BYTES + TAIL_BYTES + MAX_LINE_CHARS
    [note] = [line for line in runner.lines if line.stream == "note"]
    assert "of output were left out here" in note.text
    assert runner.lines[-1].text == "0123456789abcdef"[: count % 17 or 17]


def test_binary_output_without_a_newline(runner):
    runner.run("sh", "-c", "head -c 300000 /dev/zero; printf '\\377\\376\\n'")
    assert max(len(line.text) for line in runner.lines) <= MAX_LINE_CHARS
    assert runner.lines[-1].text.endswith("\ufffd\ufffd")


def test_lines_are_cut_where_they_end():
    reader = LineReader()
    assert reader.feed(b"a\nb") == [b"a"]
    assert reader.feed(b"c\n\n") == [b"bc", b""]
    assert reader.end() == []
    assert len(reader.feed(b"x" * (2 * MAX_LINE_CHARS + 1))) == 2
    assert reader.end() == [b"x"]


def test_the_tail_follows_the_note():
    lines: list[Line] = []
    output = Output(lines.append)
    for number in range(40_000):
        output.feed(b"%0100d\n" % number)
    output.end()
    numbers = [int(line.text) for line in lines if line.stream == "output"]
    assert numbers[0] == 0
    assert numbers[-1] == 39_999
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    "size",
    [
        MAX_LINE_CHARS + 50,
        HEAD_BYTES + 50,
        HEAD_BYTES + 2 * TAIL_BYTES,
        HEAD_BYTES + 2 * TAIL_BYTES + 50,
        2 * HEAD_BYTES + 2 * TAIL_BYTES,
    ],
)
@pytest.mark.parametrize("per_line", [7, 5000, 10**6])
def test_nothing_that_is_to_be_hidden_is_cut_in_two(size, per_line):
    """Wherever lines are cut and output is left out: a word at every place."""
    word = b"the-hidden-word"
    printed = b"\n".join([word * per_line] * (size // (len(word) * per_line) + 1))[:-20]
    lines: list[Line] = []
    output = Output(lines.append, lambda text: text.replace(word.decode(), "*"))
    for start in range(0, len(printed), 60_000):
        output.feed(printed[start : start + 60_000])
    output.end()
    told = [line.text for line in lines if line.stream == "output"]
    assert max(map(len, told)) <= MAX_LINE_CHARS
    assert not [text for text in told[:-1] if text.strip("*")], "only the program itself has cut one, at its end"
    assert sum(line.stream == "note" for line in lines) == (len(printed) > HEAD_BYTES + TAIL_BYTES + 60_000)


def test_what_outlives_its_worker_is_found_by_its_tag(runner, tmp_path):
    pid = os.fork()
    if pid == 0:
        process = Process(Program(("sh", "-c", "setsid sleep 91 & sleep 90")), tmp_path, lambda line: None)
        del process
        signal.pause()
    tagged = until(lambda: [p for p in descendants(pid) if _says(p, b"sleep\x009")][1:])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert sweep_tag(tmp_path) >= 1
    assert not any(is_alive(p) for p in tagged)
    assert sweep_tag(tmp_path) == 0


def _says(pid: int, words: bytes) -> bool:
    try:
        return words in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
