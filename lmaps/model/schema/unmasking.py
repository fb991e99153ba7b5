"""Masks in a document that comes back: each is replaced by the stored secret, but only where it is certain whose it is.

Below the keys of objects every place has a name, and a mask stands for the secret that is stored under the same name.

An item of a list has no name: once another item was removed or moved, its place is another one's. It is identified by
its other content instead. Its masked form, with every secret masked, has to equal that of exactly one stored item and
of no other item of the new list. An item with one property edited is another item. Clients see documents as given and
completed with defaults, so a stored item has both forms.

A list that comes back exactly as it was shown is put back in order, also where its items look equal (``[MASK, MASK]``):
two items that look equal can be exchanged without anybody seeing it, and no visible change is no change. Where a secret
beside the mask was given anew (``["new", MASK]``) nothing says which of the equal items it replaces, so the mask stays.
No secret that is given is compared with a stored one: whether the mask was accepted would tell whether they are equal.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lmaps.errors import Finding
from lmaps.model.diff import Path, look_up, same
from lmaps.model.schema.secrets import CHANGED, MASK, Secrets
from lmaps.util.jsonio import canonical

_MASK_TEXT = re.compile(r"""\{?\s*(["']?)\$secret\1\s*:\s*(["']?)(set|changed)\2\s*\}?""")


class _View(NamedTuple):
    """A part of a document: its value, its masked form, its path, and the paths of all secrets of the document."""

    value: Any
    masked: Any
    at: Path
    secrets: frozenset[Path]

    @property
    def is_secret(self) -> bool:
        """Whether this part is a secret as a whole."""
        return self.at in self.secrets

    def has(self, key: str | int) -> bool:
        """Return whether there is a part below ``key``."""
        if self.is_secret:
            return False
        if isinstance(self.value, list):
            return isinstance(key, int) and key < len(self.value)
        return isinstance(self.value, dict) and key in self.value

    def below(self, key: str | int) -> "_View":
        """Return the part below ``key``."""
        return _View(self.value[key], self.masked[key], (*self.at, key), self.secrets)


def unmasked(secrets: Secrets, document: object, *stored: object) -> Any:
    """Return ``document`` with each mask replaced by the stored secret that it certainly stands for; others stay.

    ``stored`` is the stored document in the forms that clients see: as given, and completed. The time is linear in the
    size of the documents.
    """
    places = secrets.paths(document)
    if not any(look_up(document, path) == MASK for path in places):
        return document
    forms = [_View(form, secrets.masked(form), (), secrets.paths(form)) for form in stored]
    return _put_back(_View(document, secrets.masked(document), (), places), forms)


def _put_back(new: _View, stored: Sequence[_View]) -> Any:
    """Return the value of a part of the new document, whose place is that of ``stored`` in the stored one."""
    if new.is_secret:
        # The stored value has to be secret too: a public one would be another thing under the same name.
        values = [old.value for old in stored if old.is_secret and not is_mask(old.value)]
        return values[0] if values and new.value == MASK else new.value
    if isinstance(new.value, dict):
        return {key: _put_back(new.below(key), _below(stored, key)) for key in new.value}
    if isinstance(new.value, list):
        owners = _owners(new, stored)
        return [
            _put_back(new.below(index), [] if owner is None else _below(stored, owner))
            for index, owner in enumerate(owners)
        ]
    return new.value


def _below(stored: Sequence[_View], key: str | int) -> list[_View]:
    return [old.below(key) for old in stored if old.has(key)]


def _owners(new: _View, stored: Sequence[_View]) -> Sequence[int | None]:
    """Return for each item of a list the place that it had in the stored list; None where that is not certain."""
    lists = [old for old in stored if isinstance(old.value, list) and not old.is_secret]
    if any(same(new.value, old.masked) for old in lists):
        return range(len(new.value))
    places: dict[str, set[int]] = defaultdict(set)
    forms: dict[int, set[str]] = defaultdict(set)
    for old in lists:
        for place, item in enumerate(old.masked):
            form = canonical(item)
            places[form].add(place)
            forms[place].add(form)
    wanted = [canonical(item) for item in new.masked]
    counts = Counter(wanted)
    # Two new items may be one stored item: the one in its given form, the other completed.
    unclaimed = {place for place in forms if sum(counts[form] for form in forms[place]) == 1}
    return [min(places[form]) if len(places[form]) == 1 and places[form] <= unclaimed else None for form in wanted]


def remaining_masks(document: object, number: int) -> list[Finding]:
    """Return a finding for each mask in the document ``number`` of a request, to a unit with secrets.

    Masks count at every place: an item that was moved, or a property that was renamed, can have taken one to where the
    schema marks no secret, and it would be stored in the place of the secret.
    """
    return [_refusal(path, number) for path in _mask_paths(document, ())]


def is_mask(value: object) -> bool:
    """Return whether ``value`` is what is shown in the place of a secret, or its text as JSON or YAML.

    In a unit with secrets no value can be that, nor a secret.
    """
    if isinstance(value, str):
        return "$secret" in value and _MASK_TEXT.fullmatch(value.strip()) is not None
    return isinstance(value, dict) and len(value) == 1 and value in (MASK, CHANGED)


def _mask_paths(value: object, at: Path) -> Iterator[Path]:
    if is_mask(value):
        yield at
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _mask_paths(below, (*at, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _mask_paths(below, (*at, index))


def _refusal(path: Path, number: int) -> Finding:
    message = "this is the mask of a secret: give the secret itself"
    if any(isinstance(key, int) for key in path):
        message += (
            "; in a list it stands for the stored secret only of an item whose other content is as it was and unique"
        )
    return Finding(message, at=path, document=number)
