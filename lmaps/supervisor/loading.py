"""Imports the daemon quickly, and without what others import for its sake and it never uses."""

import contextlib
import gc
import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

UNUSED: dict[str, dict[str, Any]] = {
    "asyncio": {"iscoroutine": inspect.iscoroutine},  # SQLAlchemy's, for drivers that we do not have
    "sqlalchemy.dialects.sqlite.aiosqlite": {},  # one of these drivers
    "importlib.metadata": {},  # SQLAlchemy's, for dialects that we do not have
    "tempfile": {},  # multiprocessing's, for sockets that we do not have
    "bz2": {},  # shutil's, which only looks whether it is there
    "lzma": {},
}
"""Modules that are imported when something in them is first used, and what is there without that."""
OPENSSL = "_hashlib"
"""3 MB, for digests that Python has itself: hashlib and hmac do without it where it cannot be imported."""
DIGESTS = ("_md5", "_sha1", "_sha3", "_blake2", *(["_sha2"] if sys.version_info >= (3, 12) else ["_sha256", "_sha512"]))
"""Python's own, which some build it without: hashlib would then tell of each that it lacks."""


def loaded(name: str) -> ModuleType:
    """The module ``name``, imported with all that it needs.

    Nothing of that is garbage: to look for some would take a seventh of the time. Nor is it looked at later, as that
    would make pages that the children share their own.
    """
    gc.disable()
    try:
        with _put_off(UNUSED), _absent(OPENSSL) if _has_own_digests() else contextlib.nullcontext():
            return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _has_own_digests() -> bool:
    """Whether this Python's hashlib works without OpenSSL, and was not imported with it."""
    return "hashlib" not in sys.modules and all(map(find_spec, DIGESTS))


@contextlib.contextmanager
def _absent(name: str) -> Iterator[None]:
    """Within the block the module cannot be imported, unless it is there already."""
    hidden: dict[str, Any] = {} if name in sys.modules else {name: None}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for each in hidden:
            del sys.modules[each]


class _Later(ModuleType):
    """Stands for a module that is imported when something in it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextlib.contextmanager
def _put_off(modules: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Within the block the import of these modules does nothing yet; those that are there already stay."""
    stand_ins = {name: _Later(name) for name in modules if name not in sys.modules}
    for name, module in stand_ins.items():
        vars(module).update(modules[name])
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
