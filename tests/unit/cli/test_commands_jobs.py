"""Jobs: what is left on stdout, how long a watcher waits, and how it goes away."""

import io
import json

import pytest

from lmaps.cli import app, watch
from lmaps.cli.session import Session
from lmaps.protocol import Reply
from tests.unit.cli.test_commands import JOB, StandIn


class Talking(StandIn):
    """A job that says a line, then another, then ends."""

    def ask(self, request):
        if request.verb != "lines":
            return super().ask(request)
        self.asked.append((request.verb, request.args))
        number = request.args["after"] + 1
        lines = [{"number": number, "at": "t", "stream": "output", "text": f"line {number}"}] if number < 3 else []
        job = JOB | ({"state": "running"} if lines else {})
        return Reply("", extra={"lines": lines, "job": job, "more": number < 2})


class Interrupted(Talking):
    """Ctrl-C comes after the first line."""

    def ask(self, request):
        if request.args.get("after"):
            raise KeyboardInterrupt
        return super().ask(request)


def run(daemon, *args):
    """Exit code, stdout and stderr of ``lmaps ARGS``."""
    session = Session(client=daemon, stdout=io.StringIO(), stderr=io.StringIO())
    with pytest.raises(SystemExit) as ended:
        app.start(list(args), session)
    return ended.value.code, session.stdout.getvalue(), session.stderr.getvalue()


END = "job 1 succeeded in 3.1 s: ok 3, changed 2, failed 0, unknown 0; web applied r4\n"


def test_a_watcher_asks_for_what_comes_after_the_last_line():
    daemon = Talking()
    code, out, err = run(daemon, "attach", "1")
    assert (code, out, err) == (0, "line 1\nline 2\n", END)
    assert [args["after"] for verb, args in daemon.asked] == [0, 1, 2]
    assert {args["wait_ms"] for verb, args in daemon.asked} == {10_000}


def test_an_answer_is_never_held_back_for_as_long_as_it_is_waited_for():
    daemon = Talking()
    daemon.timeout = 4.0
    run(daemon, "attach", "1")
    assert daemon.asked[0][1]["wait_ms"] == 2000


def test_logs_read_every_page_and_do_not_wait():
    daemon = Talking()
    assert run(daemon, "logs", "1", "-o", "json")[1].count("\n") == 2
    assert [args for verb, args in daemon.asked] == [{"job": 1, "after": 0}, {"job": 1, "after": 1}]
    assert run(Talking(), "logs", "1", "-f") == run(Talking(), "attach", "1")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("apply web", "\ndetached, the job goes on: lmaps attach 1\n"),
        ("--apply --unit web", "\ndetached, the job goes on: lmaps attach 1\n"),
        ("attach 1", "\ndetached: lmaps attach 1\n"),
    ],
)
def test_ctrl_c_says_how_to_come_back(line, words):
    code, _, err = run(Interrupted(), *line.split())
    assert code == 130
    assert err.endswith(words)


def test_apply_leaves_the_outcome_on_stdout_in_the_format_asked_for(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("host: a\n")
    assert run(Talking(), "apply", "web", "-f", str(file), "-o", "name")[1] == "1\n"
    assert json.loads(run(Talking(), "apply", "web", "-f", str(file), "-o", "json")[1]) == JOB
    assert run(Talking(), "apply", "web", "-f", str(file), "-o", "table")[1] == "created  a  r4\n"
    assert run(Talking(), "apply", "web")[1] == ""


def test_quiet_apply_says_nothing():
    assert run(Talking(), "-q", "apply", "web") == (0, "", "")


def test_a_state_that_there_is_not_is_a_usage_error():
    code, _, err = run(StandIn(), "jobs", "--state", "frob")
    assert code == 2
    assert "'frob' is not one of 'queued', 'running'" in err


def test_a_job_as_lines():
    code, out, _ = run(StandIn(), "job", "1", "-o", "table")
    assert code == 0
    assert "state:       succeeded\n" in out
    assert "summary:     ok 3, changed 2, failed 0, unknown 0\n" in out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_line_says_how_far_it_is():
    events = [
        {"event": "playbook_on_play_start", "tasks": 2},
        {"event": "playbook_on_task_start"},
        {"event": "runner_on_ok", "host": "a"},
    ]

    class Playing(StandIn):
        def ask(self, request):
            after = request.args["after"]
            lines = (
                [{"number": after + 1, "stream": "event", "text": "TASK [x]", "event": events[after]}]
                if after < 3
                else []
            )
            job = JOB if after == 3 else JOB | {"state": "running", "over": False}
            return Reply("", extra={"lines": lines, "job": job, "more": False})

    session = Session(client=Playing(), stdout=io.StringIO(), stderr=Terminal())
    progress = watch.watch(session, 1)
    said = session.stderr.getvalue()
    assert progress.state == "succeeded"
    assert "\r\x1b[2K      task 1 of 2, 1 host, " in said
    assert said.endswith("\r\x1b[2K")
