"""What a refusal is: a ValueError, in one line, that says what is wanted."""

import re

import pytest


def check_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        call()
    assert type(refused.value) is ValueError
    text = str(refused.value)
    assert "\n" not in text and len(text) < 400
