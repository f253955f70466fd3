"""What the names of recordings say, where they are named as those of the Free Spoken Digit Dataset (Jackson et al.)."""

import re
from typing import NamedTuple

_TEST_TAKES = 5  # of a digit by a speaker, as that set has it
_NAME = re.compile(r"(?P<label>[^_]+)_(?P<voice>[^_]+)_(?P<index>\d{1,6})\.wav", re.IGNORECASE)


class Take(NamedTuple):
    """What is said, by whom, and whether it is held out."""

    label: str
    voice: str
    held_out: bool


def parse(name: str) -> Take | None:
    """What digit_speaker_index.wav says, indices 0 to 4 being held out; nothing for a name of another form."""
    match = _NAME.fullmatch(name)
    return Take(match["label"], match["voice"], int(match["index"]) < _TEST_TAKES) if match else None
