"""What the text of a regular expression says of the values that it matches: how they begin, and whether it is slow.

``(a+)+`` splits a run of n letters in 2^n ways, and a value that does not match makes `re` try them all. ``(a+b)+`` is
quick: the ``b`` fixes where each part ends. So a repeat is reported if all that it repeats is repeats itself.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

FEW = 9
"""A repeat up to so many times is quick, even within others."""

_TOKEN = re.compile(
    r"""
    (?P<comment> \(\?\#[^)]*\) )
    | (?P<flags> \(\?[aiLmsux]+\) )
    | (?P<reference> \(\?P=\w+\) )
    | (?P<open> \( (?: \?P<\w+> | \?\([^)]*\) | \?<?[=!] | \?[>:] | \?[aiLmsux]*(?:-[imsx]+)?: )? )
    | (?P<close> \) )
    | (?P<or> \| )
    | (?P<repeat> [*+?] | \{(?!\})(?P<least>\d*)(?P<range>,(?P<most>\d*))?\} ) (?P<how>[?+]?)
    | (?P<atom>
        \\(?: x[0-9A-Fa-f]{2} | u[0-9A-Fa-f]{4} | U[0-9A-Fa-f]{8} | N\{[^}]*\} )
        | \\(?: 0[0-7]{0,2} | [0-7]{3} | [1-9][0-9]? | . )
        | \[\^?\]?(?:\\.|[^\]\\])*\]
        | .
      )
    """,
    re.VERBOSE | re.DOTALL,
)
"""A piece of a pattern. `re` has no public parser."""
_VERBOSE_GAP = re.compile(r"(?:\s|#[^\n]*)+")
_TRANSPARENT = re.compile(r"\((?:\?P<|\?:|\?[aiLmsux-]*:|$)")
"""The groups whose content takes part in a repeat around them; lookarounds and atomic groups end where they matched."""
_ENDLESS = ("*", "+")
_BEGINNING = re.compile(r"\^(?P<head>\w*)(?:\((?:\?:)?(?P<choices>\w+(?:\|\w+)*)\)(?P<tail>\w*))?", re.ASCII)
_CAN_BE_NONE = ("*", "?", "{")


class _Part(NamedTuple):
    """A part of a sequence, or a sequence as one part.

    ``is_repeat``: it is made of repeats alone. ``is_endless``: one of them has no end; a repeat without end around it
    would be slow.
    """

    is_repeat: bool
    is_endless: bool


_ATOM = _Part(is_repeat=False, is_endless=False)


@dataclass(slots=True)
class _Group:
    """A group that is being scanned, with the parts of its current alternative."""

    opening: str
    verbose: bool
    parts: list[_Part] = field(default_factory=list)
    alternatives: list[_Part] = field(default_factory=list)

    def end_alternative(self) -> None:
        """Make the current parts an alternative, and begin the next one."""
        is_repeat = all(part.is_repeat for part in self.parts)
        self.alternatives.append(_Part(is_repeat, is_repeat and any(part.is_endless for part in self.parts)))
        self.parts = []


def is_slow(pattern: str) -> bool:
    """Return whether a pattern, which `re` compiles, can take exponential time on a value that does not match."""
    groups = [_Group("", verbose=False)]
    position = 0
    while position < len(pattern):
        group = groups[-1]
        gap = _VERBOSE_GAP.match(pattern, position) if group.verbose else None
        if gap is not None:
            position = gap.end()
            continue
        token = _TOKEN.match(pattern, position)
        if token is None:
            return False
        position = token.end()
        match token.lastgroup:
            case "flags":
                group.verbose = group.verbose or "x" in token["flags"]
            case "open":
                groups.append(_Group(token["open"], _is_verbose(token["open"], group.verbose)))
            case "or":
                group.end_alternative()
            case "close" if len(groups) > 1:
                _close(groups)
            case "how" if group.parts:
                repeat = _repeat(group.parts.pop(), token)
                if repeat is None:
                    return True
                group.parts.append(repeat)
            case "atom" | "reference":
                group.parts.append(_ATOM)
    return False


def _is_verbose(opening: str, outside: bool) -> bool:
    """Return whether the flag x holds within a group."""
    on, _, off = opening.removeprefix("(?").removesuffix(":").partition("-")
    return (outside or ("x" in on and opening.endswith(":"))) and "x" not in off


def _close(groups: list[_Group]) -> None:
    """Replace the innermost group by one part of the group around it."""
    group = groups.pop()
    group.end_alternative()
    if _TRANSPARENT.match(group.opening) is None:
        groups[-1].parts.append(_ATOM)
        return
    # One alternative of repeats is enough: the value decides which one is taken.
    is_repeat = any(part.is_repeat for part in group.alternatives)
    groups[-1].parts.append(_Part(is_repeat, any(part.is_endless for part in group.alternatives)))


def _repeat(part: _Part, token: re.Match[str]) -> _Part | None:
    """Return ``part`` repeated as ``token`` says; None if that is slow."""
    if token["how"] == "+":  # possessive: it gives nothing back, so that nothing is tried again
        return _ATOM
    most = token["most"] if token["range"] else token["least"]
    is_endless = token["repeat"] in _ENDLESS or (token["repeat"] != "?" and (not most or int(most) > FEW))
    if is_endless and part.is_endless:
        return None
    return _Part(is_repeat=True, is_endless=is_endless or part.is_endless)


def beginnings(pattern: str) -> frozenset[str]:
    """Return texts with one of which everything begins that ``pattern``, which `re` compiles, is found in.

    They are the letters, digits and underscores after ``^``, with one group of alternatives: ``^(app|web)_`` begins
    with ``app_`` or ``web_``. The empty text stands for a pattern that says less.
    """
    match = _BEGINNING.match(pattern)
    if match is None or _has_alternatives(pattern[match.end() :]):
        return frozenset(("",))
    head, choices, tail = match["head"], (match["choices"] or "").split("|"), match["tail"] or ""
    if pattern.startswith(_CAN_BE_NONE, match.end()):  # the last character, or the group, may be missing
        if tail:
            tail = tail[:-1]
        elif match["choices"]:
            choices = [""]
        else:
            head = head[:-1]
    return frozenset(f"{head}{choice}{tail}" for choice in choices)


def _has_alternatives(rest: str) -> bool:
    """Return whether ``rest``, the end of a pattern outside of groups, has a ``|`` outside of groups."""
    depth = position = 0
    while position < len(rest) and depth >= 0:
        token = _TOKEN.match(rest, position)
        if token is None or (token.lastgroup == "or" and depth == 0):
            return True
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        position = token.end()
    return depth != 0
