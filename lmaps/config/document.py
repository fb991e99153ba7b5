"""The text of the configuration, and how findings in it are told."""

from collections.abc import Iterable
from typing import Any

from lmaps.errors import ConfigError, DocumentRefused, Finding
from lmaps.util import yamlio


def parse(text: bytes, file: str) -> yamlio.Document | None:
    """The one document in ``text``, which was read from ``file``; None if it is empty."""
    try:
        documents = yamlio.load(text, file=file, events=yamlio.UNIT_EVENTS, aliases=True)
    except DocumentRefused as refused:
        raise refusal(file, None, refused.errors) from refused
    if len(documents) > 1:
        raise ConfigError(f"cannot use {file}: it holds {len(documents)} documents, one is expected")
    return documents[0] if documents else None


def refusal(file: str | None, document: yamlio.Document | None, errors: Iterable[Finding]) -> ConfigError:
    """What is said of a configuration that cannot be used: every finding, with its place."""
    told = [_with_cure(document.locate(finding) if document else finding) for finding in errors]
    return ConfigError(f"cannot use the configuration {file}", errors=told)


def _with_cure(finding: Finding) -> Finding:
    """The shipped example of the original had ``timeout: 5*60``: say what to write."""
    if finding.at != ("rpc", "timeout"):
        return finding
    cured = bad_timeout(finding.got)
    return finding._replace(message=cured.message, hint=cured.hint)


def bad_timeout(got: Any) -> Finding:
    """What is said of a duration that is none."""
    text = f"{got!r} is no duration: write it with its unit, 5m for five minutes or 30s (a bare integer is seconds)"
    return Finding(text, ("rpc", "timeout"), got=got, hint="5m")
