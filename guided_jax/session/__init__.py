"""Interactive sessions: images encoded once, then clicked on many times."""

from guided_jax.session.session import CAPACITY, Session

__all__ = ["CAPACITY", "Session"]
