"""Checksums of the arrays of a tree, by their paths: a flipped bit in a stored tree is found, and the array named."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def named_leaves(tree) -> dict[str, Any]:
    """The leaves of a tree by their paths, as `learning/trunk/conv1_1/kernel`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and values, in hexadecimal."""
    kind = f"{array.dtype.name} {array.shape} ".encode()
    return hashlib.sha256(kind + np.ascontiguousarray(array).tobytes()).hexdigest()


def digests(tree) -> dict[str, str]:
    """The digest of every leaf of a tree, by its path."""
    return {name: digest(np.asarray(leaf)) for name, leaf in named_leaves(tree).items()}


def first_changed(tree, expected: Mapping[str, str]) -> str | None:
    """The path of the first leaf whose digest is not the expected one; None where all are."""
    return next((name for name, found in digests(tree).items() if expected.get(name) != found), None)


def first_not_finite(tree) -> str | None:
    """The path of the first leaf of floating point that holds NaN or infinity; None where there is none."""
    for name, leaf in named_leaves(tree).items():
        if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
            return name
    return None
