"""``lmaps.core.utils``: functions that live in `lmaps.model` and `lmaps.protocol`, threads in `lmaps.util.threads`."""

from typing import Any

from lmaps.config.load import load_config
from lmaps.config.settings import Config
from lmaps.errors import ValidationFailed
from lmaps.model import units
from lmaps.model.data_types import get_data_type_by_name
from lmaps.model.schema import lint
from lmaps.protocol import Reply
from lmaps.util.threads import OpenThread, Threader

__all__ = [
    "OpenThread",
    "Threader",
    "client_message",
    "get_data_type_by_name",
    "get_unit_by_name",
    "validate_unit_instance",
]


def client_message(message: str, level: int = 0, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the envelope of an answer: ``message`` for people, ``level`` the exit code, ``extra`` for programs."""
    return Reply(message, level, extra or {}).to_json()


def get_unit_by_name(name: str, config: Config | dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a unit as unit files hold it; `NotFound` if the configuration (default: the one found) has none."""
    return units.get_unit_by_name(name, load_config() if config is None else Config.of(config)).definition


def validate_unit_instance(instance: dict[str, Any], unit: dict[str, Any]) -> dict[str, Any]:
    """Return ``instance`` with the unit's defaults mixed in, valid; else a `client_message` of level 3.

    Its ``extra["errors"]`` are all findings: where, what, and what is expected. ``unit`` is what `get_unit_by_name`
    returns.
    """
    try:
        loaded = units.unit_from_definition(unit)
        if faults := lint(loaded.params):
            raise ValidationFailed(f"cannot use the params of the unit {loaded.name}", errors=faults)
        return loaded.complete(instance)
    except ValidationFailed as refused:
        errors = [finding.to_json() for finding in refused.errors]
        return client_message(refused.message, refused.level, {"errors": errors})
