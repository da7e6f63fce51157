"""What a user can mend."""


class UserError(Exception):
    """A mistake that the user can mend; shown as one line, without a traceback."""
