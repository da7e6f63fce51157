"""A number with its noun, for messages."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """As `1 class` or `20 classes`; the plural is that of the noun with an s where it is not given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
