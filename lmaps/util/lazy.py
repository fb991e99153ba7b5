"""Modules that are imported when they are first used, so that a program starts without them.

    if TYPE_CHECKING:
        from lmaps.util import yamlio
    else:
        yamlio = LazyModule("lmaps.util.yamlio")  # 17 ms, needed only where text is not plain YAML

mypy, import-linter and the reader see the import; the program runs the line below. The comment says what it saves.
"""

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for the module ``name`` and imports it when one of its attributes is used.

    Attributes are looked up anew at each use, so that a test which replaces one in the module itself is heeded.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Return the module's attribute. Raises ImportError where the module cannot be imported."""
        return getattr(import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"<lazy module {self._name}>"
