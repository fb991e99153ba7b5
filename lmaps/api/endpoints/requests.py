"""The verb request: what became of a changing request whose answer was lost."""

import json
from typing import Any

from lmaps.api import job_queue
from lmaps.api.context import Invocation
from lmaps.errors import NotFound
from lmaps.protocol import Reply


def request(call: Invocation) -> Reply:
    """The answer that was given under a key; `NotFound` if nothing was done under it: it never came, or was refused."""
    kept = call.tx.requests.find(call.args["key"])
    if kept is None:
        raise NotFound(
            f"nothing was done under the key {call.args['key']}: it never arrived, or was refused",
            hint="to do it, send it again with this key",
        )
    answer: dict[str, Any] = json.loads(kept.answer)
    job = call.tx.jobs.find(answer["job"]) if answer.get("job") else None
    state = "done" if job is None or job_queue.is_over(job) else "running"
    extra: dict[str, Any] = {
        "state": state,
        "key": kept.key,
        "verb": kept.verb,
        "unit": kept.unit,
        "at": kept.at,
        "answer": answer,
        "job": job_queue.told(call, job) if job else None,
    }
    return Reply(f"{state}: {_words(answer)}", extra=extra, revision=kept.revision, job=answer.get("job"))


def _words(answer: dict[str, Any]) -> str:
    rows = answer["extra"].get("instances") or []
    if len(rows) != 1:
        return str(answer["message"])
    [row] = rows
    return f"{row['result']} {row['short']} r{row['revision']}"
