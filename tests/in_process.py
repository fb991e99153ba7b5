"""The manager's verbs on a state of their own, without sockets: what many cases can be tried on."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lmaps.api.context import AfterCommit, Answer, Deferred
from lmaps.api.registry import ENDPOINTS, ManagerState, RequestContext
from lmaps.config.load import load_config
from lmaps.manager.client_requests import find_route
from lmaps.model.policy import daemon_subject
from lmaps.model.states import JobKind
from lmaps.model.units import load_units_from
from lmaps.protocol import Reply, Request
from lmaps.store import open_store, replay
from tests.daemons import WEB


@cache
def _empty() -> "tempfile.TemporaryDirectory[str]":
    """An empty state: copying it is quicker than making its tables."""
    made = tempfile.TemporaryDirectory(prefix="lm")
    open_store(str(Path(made.name) / "lmaps.db")).close()
    return made


def respond(context: RequestContext, payload: dict[str, Any]) -> Answer:
    """Return the answer to a decoded request of any form; raise what the client would be refused with."""
    route = find_route(payload)
    context.door = route.door
    answer = route.endpoint.answer(context, route.request)
    return route.finish(context, answer) if route.finish is not None and isinstance(answer, Reply) else answer


class InProcess:
    """Asked as a `Client` is. Errors are raised as the daemon would tell them, each request is one transaction."""

    def __init__(self, directory: Path, units: str = WEB, author: str = "me") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "lmaps.yaml"
        file.write_text("db: lmaps.db\nunit_dirs: []\n")
        self.subject = daemon_subject(author)
        if not (directory / "lmaps.db").exists():
            shutil.copy(Path(_empty().name) / "lmaps.db", directory)
        self.store = open_store(str(directory / "lmaps.db"))
        self.reloads, self.beats = 0, 0
        self.service = ManagerState(
            load_config(str(file)), load_units_from([]), "boot", reload=self._reload, beat=self._beat
        )
        self.load(units)

    def load(self, units: str) -> None:
        """Take these units instead of those that were there."""
        loaded = load_units_from((f"unit{number}.yaml", text) for number, text in enumerate(units.split("---\n")))
        assert not loaded.errors, loaded.errors
        self.service.units = loaded

    def _reload(self) -> None:
        """Take the place of the manager's reload; the units come by `load`."""
        self.reloads += 1

    def _beat(self) -> None:
        """Take the place of the supervisor, which counts a manager as stuck that does not beat."""
        self.beats += 1

    def call(self, verb: str, *, key: str | None = None, **args: Any) -> Reply:
        """The reply; raises what the daemon refuses with."""
        request = Request(verb, json.loads(json.dumps(args)), key=key)
        with self.store.transaction() as tx:
            answer = ENDPOINTS[verb].answer(RequestContext(self.service, tx, self.subject), request)
        assert not isinstance(answer, Deferred)
        reply = answer.then(self.store) if isinstance(answer, AfterCommit) else answer
        return Reply.from_json(json.loads(reply.encode()))

    def replayed(self) -> int:
        """How many changesets there are, when the instances are what they make."""
        with self.store.transaction() as tx:
            return replay(tx)

    def applied(self, unit: str, revision: int) -> None:
        """As if the unit's handler had run with this revision."""
        from lmaps.store import Origin

        with self.store.transaction() as tx:
            job = tx.jobs.add(unit, JobKind.APPLY, revision, "digest", Origin("me"))
            tx.jobs.update(job.id, state="succeeded")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.store.close()
