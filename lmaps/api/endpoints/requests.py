"""The endpoint request: what became of a changing request whose answer was lost."""

from lmaps.api import job_queue, kept_answers
from lmaps.api.arguments import Text, argument, arguments
from lmaps.api.context import Invocation
from lmaps.api.endpoint import endpoint
from lmaps.errors import NotFound
from lmaps.protocol import Reply
from lmaps.util.jsonio import JsonObject


@arguments
class RequestOfKey:
    """The arguments of request."""

    key: Text = argument(doc="The request's key.")


@endpoint("request", right="show", action="show the request")
def request(ctx: Invocation, request: RequestOfKey) -> Reply:
    """Show the answer to the request with a key; `NotFound` if that request never arrived, or was refused."""
    kept = kept_answers.find(ctx, request.key)
    if kept is None:
        raise NotFound(
            f"nothing was done under the key {request.key}: the request never arrived, or was refused",
            hint="to make the change, send the request again with this key",
        )
    answered, answer = kept.row, kept.payload(ctx)
    job = ctx.tx.jobs.find(answer["job"]) if answer.get("job") else None
    state = "done" if job is None or job_queue.is_over(job) else "running"
    extra: JsonObject = {
        "state": state,
        "key": request.key,
        "verb": answered.verb,
        "unit": answered.unit,
        "at": answered.at,
        "answer": answer,
        "job": job_queue.view(ctx, job).to_json() if job else None,
    }
    return Reply(f"{state}: {_summary(answer)}", extra=extra, revision=answered.revision, job=answer.get("job"))


def _summary(answer: JsonObject) -> str:
    rows = answer["extra"].get("instances") or []
    if len(rows) != 1:
        return str(answer["message"])
    [row] = rows
    return f"{row['result']} {row['short']} r{row['revision']}"
