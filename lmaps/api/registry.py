"""The table of endpoints: what clients may ask for.

A name that is not a key of the table does nothing, whatever it looks like. Each module below declares its endpoints
completely, by `endpoint`; the table is entered by importing them.
"""

from lmaps.api.context import AfterCommit, Answer, Deferred, Invocation, ManagerState, RequestContext, Slot
from lmaps.api.endpoint import ENDPOINTS, Endpoint
from lmaps.api.endpoints import (
    audit,
    backup,
    blame,
    confirm,
    history,
    history_transfer,
    instances,
    jobs,
    plan,
    requests,
    show,
    system,
    transfer,
    units,
)

MODULES = (
    units, instances, show, history, blame, transfer, history_transfer, backup, jobs, confirm, plan, requests, system,
    audit,
)  # fmt: skip
"""The modules that declare endpoints."""
_ORDER = (
    "units explain unit_check create set delete show validate rollback redo revert history diff blame export import "
    "import_history migrate backup backup_read apply confirm plan plan_check cancel jobs job wait request lines "
    "status handlers reload audit discover may"
).split()
"""The order in which `discover` and the reference have the endpoints of 2.0; later ones follow by name."""
for _name in [*_ORDER, *sorted(ENDPOINTS.keys() - _ORDER)]:
    ENDPOINTS[_name] = ENDPOINTS.pop(_name)

__all__ = [
    "ENDPOINTS",
    "MODULES",
    "AfterCommit",
    "Answer",
    "Deferred",
    "Endpoint",
    "Invocation",
    "ManagerState",
    "RequestContext",
    "Slot",
]
