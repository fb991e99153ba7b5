"""The door for users of the original's ``lmaps.core.utils``: its documented names, from the rooms where they live."""

from typing import Any

from lmaps.model.data_types import get_data_type_by_name
from lmaps.model.units import get_unit_by_name, validate_unit_instance
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
    """The envelope of an answer: ``message`` for people, ``level`` the exit code, ``extra`` data for programs."""
    return Reply(message, level, extra or {}).to_json()
