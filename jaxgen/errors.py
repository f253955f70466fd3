"""What a user can get wrong."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake its reader can mend. The message says what to do; the command line prints it and exits with code 2."""


@contextmanager
def needed(package: str, purpose: str, extra: str) -> Iterator[None]:
    """Around the import of a package that comes with one of jaxgen's extras: `UserError` where it cannot be imported.

    `purpose` says what it is for, as "MIDI files", and `extra` names the extra that has it.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(
            f'{package} is needed for {purpose} ({error}). Install it: pip install "jaxgen[{extra}]".'
        ) from error
