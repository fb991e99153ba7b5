"""``lmaps.core.handlers``: the handlers; `UnitHandler` lives in `lmaps.handlers.base`."""

from typing import Any

from lmaps import manager
from lmaps.errors import LmapsError
from lmaps.handlers import base
from lmaps.protocol import Reply


class Handler:
    """Base of everything that handles something: ``context`` is what it works in, `setup` prepares it."""

    context: object = None

    def __init__(self, **kwargs: object) -> None:
        self.context = kwargs.get("context")
        self.setup()

    def setup(self) -> None:
        """Prepare; called once, when the handler is made."""


class UnitHandler(base.UnitHandler, Handler):
    """The contract of a handler; its reference is `lmaps.handlers.base.UnitHandler`."""


class ManagerHandler(Handler):
    """Answers requests of clients. ``context`` is a manager that serves (within `Manager.serving`)."""

    def client_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request, of today's form or the original's; a refusal is an answer too.

        Raises `LmapsError` if the handler has no manager.
        """
        if not isinstance(self.context, manager.Manager) or not self.context.running:
            raise LmapsError("cannot answer the request: the handler's context is no manager that serves")
        try:
            return self.context.respond(request).to_json()
        except LmapsError as error:
            return Reply.refusal(error).to_json()

    def create_or_apply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request in the original's flags, ``create`` and ``apply`` among them.

        An apply is answered when its job has ended.
        """
        return self.client_request({name: value for name, value in request.items() if name != "v"})
