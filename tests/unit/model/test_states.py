"""States and kinds are the texts that are on the wire and in the database."""

import json
from typing import Any

import pytest

from lmaps.model import states

LISTS = [states.JobKind, states.JobState, states.ConfirmationState, states.ChangesetKind, states.Door]


@pytest.mark.parametrize("words", LISTS)
def test_a_member_is_its_text_wherever_it_is_written(words: Any) -> None:
    for member in words:
        text = member.value
        assert type(text) is str
        # checksums are made of the repr: a member that had another one would be read back as damaged
        assert (repr(member), str(member), f"{member}", json.dumps(member)) == (repr(text), text, text, f'"{text}"')
        assert (member, hash(member), words(text)) == (text, hash(text), member)


def test_the_states_of_a_job_fall_into_ended_and_not() -> None:
    assert set(states.JobState) - states.ENDED == {"queued", "running"}
    assert states.UNSETTLED < states.ENDED
