"""What a user can get wrong."""


class UserError(ValueError):
    """A mistake its reader can mend. The message says what to do; the command line prints it and exits with code 2."""
