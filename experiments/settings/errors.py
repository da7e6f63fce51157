"""What a user can mend."""

import contextlib
from collections.abc import Iterator

from data_pipelines.datasets.record import DatasetError


class UserError(Exception):
    """A mistake that the user can mend; shown as one line, without a traceback."""


@contextlib.contextmanager
def user_mistakes() -> Iterator[None]:
    """Around the checks of a start: ValueError, OSError and DatasetError become `UserError`."""
    try:
        yield
    except (ValueError, OSError, DatasetError) as error:
        raise UserError(str(error)) from error
