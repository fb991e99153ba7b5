"""Jobs end to end: queued, covered, cancelled, limited, waited for; and nothing of them is left."""

import json
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmaps import Client
from tests.daemons import BIN, RunningDaemon, is_alive, until

Start = Callable[..., RunningDaemon]

PARAMS = "params: {type: object, required: [id], properties: {id: {type: string}}}\n"


def unit(name: str, script: str, **handler: str) -> str:
    """A unit whose handler runs a shell script."""
    more = "".join(f"  {key}: {value}\n" for key, value in handler.items())
    return (
        f"meta: {{name: {name}, primary_key: id}}\n"
        f"handler:\n  type: command\n{more}  args: {{argv: [sh, -c, {json.dumps(script)}], changed: [10]}}\n{PARAMS}"
    )


DETACHING = "echo started; sleep 61 & setsid sleep 61 & (setsid sleep 61 &) & trap '' TERM; wait; sleep 61"
GATED = "echo begun; while [ ! -e $HOME/gate ]; do sleep 0.05; done; echo done >> $HOME/runs"


def started(daemon: RunningDaemon, job: int) -> None:
    until(lambda: [row for row in daemon.data("jobs") if row["job"] == job and row["state"] == "running"])
    until(lambda: daemon.lmaps("logs", str(job)).stdout)


def queue(daemon: RunningDaemon, name: str, *args: str) -> int:
    return int(daemon.lmaps("apply", name, "--no-wait", "-o", "name", *args).stdout)


def sleeping(daemon: RunningDaemon) -> list[int]:
    return [pid for pid in daemon.everything() if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_cancelled_job_leaves_nothing(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", DETACHING.replace("trap '' TERM; ", "")))
    job = queue(daemon, "slow")
    started(daemon, job)
    done = daemon.lmaps("cancel", str(job), "-o", "table")
    assert (done.stdout, done.returncode) == (f"job {job} cancelled, 0 processes left\n", 0)
    assert sleeping(daemon) == []
    assert daemon.data("job", str(job))["state"] == "cancelled"
    assert daemon.lmaps("attach", str(job)).returncode == 7
    assert daemon.data("units")[0]["condition"] == "dirty"
    again = daemon.lmaps("cancel", str(job))
    assert again.returncode == 0
    missing = daemon.lmaps("cancel", "99")
    assert (missing.returncode, "there is no job 99" in missing.stderr) == (4, True)


def test_a_job_that_waits_is_cancelled_at_once_and_another_takes_its_place(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", GATED))
    first = queue(daemon, "slow")
    started(daemon, first)
    waiting, covered, last = (queue(daemon, "slow") for _ in range(3))
    rows = {row["job"]: row for row in daemon.data("jobs")}
    assert [rows[job]["covered_by"] for job in (waiting, covered, last)] == [None, waiting, waiting]
    assert rows[last]["after"]["job"] == first
    assert daemon.lmaps("cancel", str(waiting)).returncode == 0
    rows = {row["job"]: row for row in daemon.data("jobs")}
    assert [rows[job]["covered_by"] for job in (covered, last)] == [None, covered]
    (daemon.directory / "gate").touch()
    assert daemon.lmaps("wait", str(first), str(covered), str(last)).returncode == 0
    assert [daemon.data("job", str(job))["state"] for job in (first, waiting, covered, last)] == [
        "succeeded", "cancelled", "succeeded", "covered",
    ]  # fmt: skip
    assert (daemon.directory / "runs").read_text() == "done\ndone\n"
    assert daemon.lmaps("logs", str(last)).stdout == "begun\n"


def test_whoever_is_covered_gets_the_outcome_of_the_run(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", GATED + "; exit 3"))
    first = queue(daemon, "slow")
    started(daemon, first)
    with ThreadPoolExecutor(3) as pool:
        waiters = [pool.submit(daemon.lmaps, "apply", "slow") for _ in range(3)]
        until(lambda: len(daemon.data("jobs")) == 4)
        (daemon.directory / "gate").touch()
        done = [waiter.result() for waiter in waiters]
    assert [each.returncode for each in done] == [6, 6, 6]
    assert sum("covered by job 2, which failed" in each.stderr for each in done) == 2
    assert all("in the queue" in each.stderr or "job 2: apply slow" in each.stderr for each in done)


def test_five_hundred_who_apply_at_once_are_all_answered_by_few_runs(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", "sleep 1.5; cat > $HOME/state.$$; echo run >> $HOME/runs"), workers=1)
    count = 500
    with Client(daemon.endpoint, timeout=60) as client:
        import zmq

        from lmaps.protocol import Request

        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        try:
            socket.connect(client.endpoint)
            for number in range(count):
                args = {"unit": "slow", "instances": [{"id": f"i{number}"}]}
                socket.send_multipart([b"", Request("apply", args, id=str(number), key=f"k{number}").encode()])
            answers = [json.loads(socket.recv_multipart()[1]) for _ in range(count)]
        finally:
            socket.close(0)
        jobs = {answer["job"] for answer in answers}
        assert (len(jobs), {answer["level"] for answer in answers}) == (count, {0})
        revisions = {answer["job"]: answer["revision"] for answer in answers}
        ended = {number: client.call("job", job=number, wait_ms=30_000).extra["job"] for number in sorted(jobs)}
        assert {job["outcome"] for job in ended.values()} == {"succeeded"}
        for number, job in ended.items():
            run = ended[job["covered_by"]] if job["covered_by"] else job
            assert run["revision"] >= revisions[number]
    assert (daemon.directory / "runs").read_text().count("run") <= 3


@pytest.mark.parametrize(
    ("handler", "options", "words"),
    [
        ({"timeout": "1s"}, [], "it ran longer than 1.0 s: it may have run in part, 0 processes left"),
        ({"timeout": "1h"}, ["--job-timeout", "1s"], "it ran longer than 1.0 s"),
        ({"idle_timeout": "1s"}, [], "it printed nothing for 1.0 s"),
    ],
)
def test_a_job_that_takes_too_long_is_ended(
    start_daemon: Start, handler: dict[str, str], options: list[str], words: str
) -> None:
    daemon = start_daemon(unit("slow", DETACHING.replace("trap '' TERM; ", ""), **handler))
    done = daemon.lmaps("apply", "slow", *options)
    assert (done.returncode, "job 1 timed_out in" in done.stderr, words in done.stderr) == (7, True, True), done.stderr
    assert sleeping(daemon) == []


def test_the_last_lines_alone(start_daemon: Start) -> None:
    daemon = start_daemon(unit("loud", "seq 1 3000"))
    daemon.lmaps("apply", "loud", "-q")
    assert daemon.lmaps("logs", "1", "--tail", "2").stdout == "2999\n3000\n"
    assert daemon.lmaps("logs", "1", "--since", "2999", "--tail", "5").stdout == "3000\n"
    assert daemon.lmaps("logs", "1", "--tail", "0").stdout == ""
    assert daemon.lmaps("logs", "1").stdout.count("\n") == 3000


def test_a_job_that_says_something_is_not_idle(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", "for i in 1 2 3 4 5; do echo $i; sleep 0.4; done", idle_timeout="1s"))
    assert daemon.lmaps("apply", "slow").returncode == 0


def test_units_that_share_a_lock_run_one_after_the_other(start_daemon: Start) -> None:
    script = "echo begin-$0 >> $HOME/order; sleep 0.3; echo end >> $HOME/order"
    text = "---\n".join(unit(name, script, lock="[apt]") for name in ("one", "two"))
    daemon = start_daemon(text + "---\n" + unit("free", "exit 0"))
    jobs = [queue(daemon, name) for name in ("one", "two", "free")]
    assert daemon.lmaps("wait", *map(str, jobs)).returncode == 0
    order = [line.partition("-")[0] for line in (daemon.directory / "order").read_text().split()]
    assert order == ["begin", "end", "begin", "end"]


def test_waiting_has_its_own_time(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", GATED))
    job = queue(daemon, "slow")
    done = daemon.lmaps("wait", str(job), "--timeout", "1s")
    assert (done.returncode, done.stderr) == (124, f"job {job}: not yet, and the time is over\n")
    (daemon.directory / "gate").touch()
    assert daemon.lmaps("wait", str(job)).returncode == 0


def test_waiting_for_a_unit(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", GATED))
    daemon.lmaps("create", "slow", "--set", "id=a")
    never = daemon.lmaps("wait", "slow", "--for", "applied")
    assert (never.returncode, never.stderr) == (1, "slow does not become applied by itself\n")
    queue(daemon, "slow")
    with ThreadPoolExecutor(2) as pool:
        waiters = [pool.submit(daemon.lmaps, "wait", "slow", "--for", what) for what in ("applied", "rev=r1")]
        assert daemon.lmaps("wait", "slow", "--for", "applied", "--timeout", "1s").returncode == 124
        (daemon.directory / "gate").touch()
        assert [(waiter.result().returncode, waiter.result().stderr) for waiter in waiters] == [
            (0, "slow is applied\n"), (0, "slow is rev=r1\n"),
        ]  # fmt: skip
    assert daemon.lmaps("wait", "slow", "--for", "confirmed").returncode == 1
    assert daemon.lmaps("wait", "slow").returncode == 2


def test_a_change_and_its_apply_in_one_request(start_daemon: Start) -> None:
    daemon = start_daemon(unit("u", "cat > $HOME/state; [ ! -e $HOME/fail ]"))
    done = daemon.lmaps("create", "u", "--set", "id=a", "--apply", "-o", "table")
    assert (done.returncode, done.stdout) == (0, "created  a  r1\n"), done.stderr
    assert "job 1: apply u r1\n" in done.stderr
    assert daemon.lmaps("create", "u", "--set", "id=b", "--apply", "--no-wait", "-o", "name").stdout == "b\n2\n"
    assert daemon.lmaps("wait", "2").returncode == 0
    done = daemon.lmaps("rollback", "u", "--apply", "-o", "table")
    assert (done.returncode, done.stdout) == (0, "r3: rolled back r2 (-b)\n"), done.stderr
    assert json.loads((daemon.directory / "state").read_text()) == [{"id": "a"}]
    assert daemon.lmaps("redo", "u", "--apply").returncode == 0
    assert daemon.lmaps("delete", "u", "a", "--apply").returncode == 0
    assert json.loads((daemon.directory / "state").read_text()) == [{"id": "b"}]
    assert daemon.lmaps("rollback", "u", "--to", "r1", "--apply", "--confirm", "1s").returncode == 11
    (daemon.directory / "fail").touch()
    assert daemon.lmaps("set", "u", "c", "--set", "id=c", "--apply").returncode == 6
    dry = daemon.lmaps("set", "u", "d", "--set", "id=d", "--apply", "--dry-run")
    assert (dry.returncode, len(daemon.data("jobs"))) == (1, 8)
    alone = daemon.lmaps("create", "u", "--set", "id=e", "--no-wait")
    assert (alone.returncode, "add --apply" in alone.stderr) == (2, True)


def test_an_interrupted_job_is_run_once_more_if_the_unit_says_so(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", GATED, on_interrupt="rerun") + "---\n" + unit("other", GATED))
    for name in ("slow", "other"):
        job = queue(daemon, name)
        started(daemon, job)
    killed = [daemon.pid_of(f"worker {slot}") for slot in (1, 2)]
    subprocess.run(["kill", "-KILL", *map(str, killed)], check=True)
    until(lambda: [row["state"] for row in daemon.data("jobs")].count("interrupted") == 2)
    again = until(lambda: [row for row in daemon.data("jobs") if row["repeats"]])
    assert [(row["unit"], row["message"]) for row in again] == [("slow", "again: job 1 was interrupted")]
    (daemon.directory / "gate").touch()
    assert daemon.lmaps("wait", str(again[0]["job"])).returncode == 0


def test_ctrl_c_twice_cancels(start_daemon: Start) -> None:
    """On a terminal: the first says how to come back, the second one cancels."""
    daemon = start_daemon(unit("slow", GATED))
    command = f"exec {BIN}/lmaps --config {daemon.config_file} apply slow"
    terminal = subprocess.Popen(
        ["script", "-qec", command, "/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=daemon.environment,
        cwd=daemon.directory,
        bufsize=0,
    )
    assert terminal.stdin is not None
    assert terminal.stdout is not None
    started(daemon, 1)
    terminal.stdin.write(b"\x03")
    said = b""
    while b"Ctrl-C once more cancels it" not in said:
        said += terminal.stdout.read(1)
    assert b"detached, the job goes on: lmaps attach 1" in said
    terminal.stdin.write(b"\x03")
    rest, _ = terminal.communicate(timeout=30)
    assert b"job 1 cancelled, 0 processes left" in rest
    assert terminal.returncode == 7


def test_a_worker_that_was_replaced_by_a_new_manager_is_still_told_to_stop(start_daemon: Start) -> None:
    daemon = start_daemon(unit("slow", GATED))
    job = queue(daemon, "slow")
    started(daemon, job)
    manager = daemon.pid_of("manager")
    assert manager is not None
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(manager)], check=True)
    until(lambda: not is_alive(manager))
    assert daemon.lmaps("cancel", str(job)).returncode == 0
    assert daemon.data("job", str(job))["state"] == "cancelled"


def test_a_gigabyte_of_output_is_told_within_its_limits(start_daemon: Start) -> None:
    script = "head -c 500000000 /dev/zero; yes 0123456789 | head -c 500000000; echo the end"
    daemon = start_daemon(unit("loud", script))
    done = daemon.lmaps("apply", "loud", "-q", timeout=100)
    assert done.returncode == 0, done.stderr[-500:]
    text = daemon.lmaps("logs", "1").stdout
    assert len(text) < 5_000_000
    assert "of output were left out here" in text
    assert text.endswith("the end\n")
    for pid in [daemon.process.pid, *daemon.children()]:
        peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        assert int(peak.split()[1]) < 200_000, peak


def test_what_became_of_a_change_whose_answer_was_lost(start_daemon: Start) -> None:
    daemon = start_daemon(unit("u", GATED))
    done = daemon.lmaps("request", "7f3c")
    assert done.returncode == 4
    assert "nothing was done under the key 7f3c: the request never arrived" in done.stderr
    daemon.lmaps("create", "u", "--set", "id=a", "--key", "7f3c")
    done = daemon.lmaps("request", "7f3c", "-o", "table")
    assert (done.stdout, done.returncode) == ("done: created a r1\n", 0)
    again = daemon.lmaps("create", "u", "--set", "id=a", "--key", "7f3c", "-o", "table")
    assert again.stdout == "created  a  r1\n"
    other = daemon.lmaps("create", "u", "--set", "id=b", "--key", "7f3c")
    assert (other.returncode, "the key 7f3c was used for another request" in other.stderr) == (5, True)
    daemon.lmaps("apply", "u", "--no-wait", "--key", "8888")
    assert daemon.data("request", "8888")["state"] == "running"
    (daemon.directory / "gate").touch()
    waited = daemon.lmaps("request", "8888", "--wait", "-o", "table")
    assert (waited.returncode, "job 1 succeeded" in waited.stdout) == (0, True)
    assert daemon.data("request", "8888")["state"] == "done"
