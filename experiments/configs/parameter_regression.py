"""Guided inference by parameter regression (paper 4.2).

The claim: regressing the weights of the output layer from the guidance is less accurate than feature fusion, unstable
to optimise, and can converge to weights that do not vary with the support: the network then segments the same
whatever is annotated. OSLSM regresses from the masked image, globally; the paper also locally and fully
convolutionally.

    guided_jax sweep --config=parameter_regression --workdir=runs/parameter_regression --launcher=local

Base: `generated`, or on real images with `--config=parameter_regression:interactive`. `late-global` is
feature fusion, for comparison; `regression-mask` is in the manner of OSLSM.

To read it: rows against `late-global` at the same points, their spread over seeds (instability), and the column of
weight variation (`guided_jax.inference.weight_variation`) over the last logged updates: 0 where the regressed weights
are the same whatever the support, which is the collapse that the paper reports. A run that diverged is named as
missing.
"""

from collections.abc import Iterator

from experiments.configs.bases import BASELINE, Overrides, base_config, learning_first_stage
from experiments.settings.config import Config


def get_config(base: str = "generated") -> Config:
    """The base of the sweep; see `experiments.configs.bases`."""
    return base_config(base)


def get_sweep(base: str = "generated") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    regression = {"model.inference": "parameter-regression"}
    masked = {"model.fusion": "mask", "model.sharing": "unshared", **learning_first_stage(base, "support_trunk")}
    yield BASELINE, {}
    yield "regression-global", regression
    yield "regression-local", {**regression, "model.locality": "local"}
    yield "regression-unshared", {**regression, "model.sharing": "unshared"}
    yield "regression-mask", {**regression, **masked}
