"""The door for users of the original's ``lmaps.core.utils``: its documented names, from the rooms where they live."""

from typing import Any

from lmaps.core.data import get_data_type_by_name
from lmaps.core.messages import Reply
from lmaps.core.threads import OpenThread, Threader
from lmaps.core.units import get_unit_by_name, validate_unit_instance

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
