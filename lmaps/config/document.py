"""The text of the configuration, and the errors about it."""

from collections.abc import Iterable

from lmaps.errors import ConfigError, DocumentRefused, Finding
from lmaps.util import yamlio


def parse(text: bytes, file: str) -> yamlio.Document | None:
    """Return the one document in ``text``, None if it is empty. Raises `ConfigError` if it cannot be used."""
    try:
        documents = yamlio.load(text, file=file, events=yamlio.UNIT_EVENTS, aliases=True)
    except DocumentRefused as refused:
        raise refusal(file, None, refused.errors) from refused
    if len(documents) > 1:
        raise ConfigError(f"cannot use {file}: it holds {len(documents)} documents, one is expected")
    return documents[0] if documents else None


def refusal(file: str | None, document: yamlio.Document | None, errors: Iterable[Finding]) -> ConfigError:
    """Return the error about a configuration that cannot be used, with the place of every finding."""
    findings = [_with_hint(document.locate(finding) if document else finding) for finding in errors]
    return ConfigError(f"cannot use the configuration {file}", errors=findings)


def _with_hint(finding: Finding) -> Finding:
    """Return a finding about ``rpc.timeout`` with a hint, any other one as it is."""
    # the example configuration of the original says timeout: 5*60, and many have copied it
    if finding.at != ("rpc", "timeout"):
        return finding
    replacement = bad_timeout(finding.got)
    return finding._replace(message=replacement.message, hint=replacement.hint)


def bad_timeout(got: object) -> Finding:
    """Return the finding about a timeout that is not a duration."""
    message = (
        f"{got!r} is not a duration: write it with its unit, 5m for five minutes or 30s (a bare integer is seconds)"
    )
    return Finding(message, ("rpc", "timeout"), got=got, hint="5m")
