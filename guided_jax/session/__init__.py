"""Interactive sessions: images encoded once, then clicked on many times."""

from guided_jax.session.session import Session
from guided_jax.session.tasks import CAPACITY

__all__ = ["CAPACITY", "Session"]
