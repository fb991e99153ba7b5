"""Runs inside Ansible: writes each event as a JSON line to LMAPS_EVENT_FD, with a short text for people.

Imports nothing of lMaPS: Ansible may run in another interpreter. The names of events are those of ansible-runner.
Results of tasks with ``no_log`` arrive here censored.
"""

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lmaps_events
type: stdout
short_description: events for lMaPS
description: Writes each event as a JSON line to the descriptor LMAPS_EVENT_FD.
"""


class CallbackModule(CallbackBase):
    """Ansible's events as JSON lines."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "lmaps_events"

    def __init__(self):
        super().__init__()
        # Buffered by lines: a run that is killed has written every event that happened.
        self._pipe = os.fdopen(int(os.environ["LMAPS_EVENT_FD"]), "w", buffering=1)

    def _write(self, event, text="", **details):
        self._pipe.write(json.dumps({"event": event, "text": text, **details}, default=str) + "\n")

    def _write_result(self, event, result, outcome, **details):
        if "results" in result._result:
            return  # a loop: its items have been written one by one
        host, task = result._host.get_name(), result._task.get_name()
        item = result._result.get("_ansible_item_label")
        text = f"{outcome}: {host}" + (f" ({item})" if item is not None else "")
        message = self._message(result) if outcome in ("failed", "unreachable") else ""
        text = f"{text}: {message}" if message else text
        self._write(event, text, host=host, task=task, item=item, message=message or None, **details)

    @staticmethod
    def _message(result):
        values = result._result
        if values.get("censored"):
            return values["censored"]
        parts = [str(values.get(key) or "").strip() for key in ("msg", "stderr", "module_stderr")]
        return "; ".join(dict.fromkeys(part for part in parts if part))

    def v2_playbook_on_play_start(self, play):
        tasks = sum(self._count(block) for block in play.compile())
        self._write("playbook_on_play_start", f"PLAY [{play.get_name()}]", play=play.get_name(), tasks=tasks)

    def _count(self, part):
        """Return how many tasks are in a block and the blocks in it, as far as that is known before the play runs."""
        if hasattr(part, "block"):
            return sum(self._count(below) for below in part.block)
        return int(part.action not in ("meta", "ansible.builtin.meta", "ansible.legacy.meta"))

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._write("playbook_on_task_start", f"TASK [{task.get_name()}]", task=task.get_name())

    def v2_playbook_on_handler_task_start(self, task):
        self._write("playbook_on_task_start", f"HANDLER [{task.get_name()}]", task=task.get_name(), handler=True)

    def v2_runner_on_ok(self, result):
        changed = bool(result._result.get("changed", False))
        self._write_result("runner_on_ok", result, "changed" if changed else "ok", changed=changed)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write_result("runner_on_failed", result, "failed", ignored=bool(ignore_errors))

    def v2_runner_on_unreachable(self, result):
        self._write_result("runner_on_unreachable", result, "unreachable")

    def v2_runner_on_skipped(self, result):
        self._write_skipped("runner_on_skipped", result)

    def v2_runner_item_on_ok(self, result):
        changed = bool(result._result.get("changed", False))
        self._write_result("runner_item_on_ok", result, "changed" if changed else "ok", changed=changed)

    def v2_runner_item_on_failed(self, result):
        self._write_result("runner_item_on_failed", result, "failed")

    def v2_runner_item_on_skipped(self, result):
        self._write_skipped("runner_item_on_skipped", result)

    def _write_skipped(self, event, result):
        """Write ``unknown`` for a task that check mode skipped, not a condition: nobody knows what it would change."""
        reasons = ("skip_reason", "skipped_reason", "false_condition")
        unknown = bool(result._task.check_mode) and not any(result._result.get(reason) for reason in reasons)
        self._write_result(event, result, "unknown" if unknown else "skipped", unknown=unknown)

    def v2_on_file_diff(self, result):
        values = result._result
        for item in values.get("results", [values]):
            if item.get("diff") and item.get("changed"):
                for line in self._get_diff(item["diff"]).splitlines():
                    self._write("on_file_diff", line, host=result._host.get_name(), task=result._task.get_name())

    def v2_playbook_on_stats(self, stats):
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self._write("playbook_on_stats", hosts=hosts)
