import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmaps
from lmaps.errors import UsageError
from lmaps.util.failpoints import POINTS, Action, failpoint, parse, set_up_failpoints

ROOT = Path(lmaps.__file__).parents[1]


@pytest.fixture(autouse=True)
def off_afterwards() -> Iterator[None]:
    yield
    set_up_failpoints({})


def called(node: ast.Call) -> str:
    """The name of the function that is called, without its module."""
    return ast.unparse(node.func).rpartition(".")[2]


def calls() -> set[str]:
    """The names that the code gives to failpoints."""
    files = [*(ROOT / "lmaps").rglob("*.py"), ROOT / "migrations" / "env.py"]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    named = (node for node in nodes if isinstance(node, ast.Call) and called(node) == "failpoint")
    return {str(argument.value) for node in named for argument in node.args if isinstance(argument, ast.Constant)}


def test_the_table_has_the_names_that_the_code_gives_and_no_others():
    assert calls() == POINTS.keys()


def test_a_list_is_read():
    assert parse("recv=kill;  valid=2*stop;;batch.begin=raise(28);start=each*sleep(2000);adopt=segv;") == {
        "recv": Action(1, "kill", 0),
        "valid": Action(2, "stop", 0),
        "batch.begin": Action(1, "raise", 28),
        "start": Action(0, "sleep", 2000),
        "adopt": Action(1, "segv", 0),
    }


@pytest.mark.parametrize("text", ["nowhere=kill", "recv", "recv=die", "recv=raise", "recv=2*", "recv=kill,valid=kill"])
def test_what_is_none_is_refused(text):
    with pytest.raises(UsageError, match="cannot understand the failpoint"):
        set_up_failpoints({"LMAPS_FAILPOINTS": text})


def test_nothing_happens_unless_it_is_asked_for():
    set_up_failpoints({"LMAPS_FAILPOINT_HITS": "/nowhere/hits"})
    failpoint("recv")


def test_an_action_happens_once_at_its_hit(tmp_path):
    hits = tmp_path / "hits"
    set_up_failpoints({"LMAPS_FAILPOINTS": "recv=3*raise(28)", "LMAPS_FAILPOINT_HITS": str(hits)})
    failpoint("recv")
    failpoint("valid")
    failpoint("recv")
    with pytest.raises(OSError, match="No space left"):
        failpoint("recv")
    failpoint("recv")
    assert hits.read_text().split() == ["recv", "valid", "recv", "recv", "recv"]


def test_each_hit_where_each_is_said():
    set_up_failpoints({"LMAPS_FAILPOINTS": "recv=each*raise(5)"})
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output error"):
            failpoint("recv")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_forked_processes_count_together(number):
    action = {signal.SIGKILL: "kill", signal.SIGSEGV: "segv"}[number]
    code = f"""
import os
from lmaps.util.failpoints import failpoint, set_up_failpoints
set_up_failpoints({{"LMAPS_FAILPOINTS": "worker.got=2*{action}"}})
for _ in range(3):
    child = os.fork()
    if not child:
        failpoint("worker.got")
        os._exit(0)
    print(-os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", str(int(number)), "0"]


def test_a_file_may_come_and_go_and_is_removed_by_whoever_acts(tmp_path):
    file = tmp_path / "failpoints"
    set_up_failpoints({"LMAPS_FAILPOINTS": f"@{file}"})
    for _ in range(2):
        failpoint("recv")
        file.write_text("recv=2*raise(28)")
        failpoint("recv")
        failpoint("valid")
        with pytest.raises(OSError, match="No space left"):
            failpoint("recv")
        assert not file.exists()


@pytest.mark.parametrize("program", ["lmapsd", "lmaps"])
def test_an_unknown_name_is_told_at_the_start(program):
    told = subprocess.run(
        [Path(sys.executable).with_name(program), "--version"],
        env=os.environ | {"LMAPS_FAILPOINTS": "nowhere=kill"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout) == (2, "")
    assert "cannot understand the failpoint 'nowhere=kill'" in told.stderr
