"""Forms of guided inference by feature fusion (paper 4.2), and of the guidance that it takes (4.1).

The claim: fusing the query's features with the tiled guidance and decoding them by a small head is accurate and simple
to tune. The paper pools by averaging and maps annotations to the grid by fixed interpolation, and says that these can
be replaced: by other reductions, a learned mapping, or a finer grid of the support alone, whose inference of the
query stays as it is. It does not compare them; nor the two heads of its code, shared (one metric for every label) and
unshared (one head on all labels); nor global and local guidance together.

    guided_jax sweep --config=feature_fusion --workdir=runs/feature_fusion --launcher=local

Base: `generated`, or on real images with `--config=feature_fusion:interactive`. Each variant changes one
thing of `late-global`, which averages under fixed masks and scores with the shared head.

To read it: a row against `late-global`, over the points: what costs nothing in accuracy but saves parameters or
time, and what helps at few points (a finer support, a learned mask) or at many (maximum, both localities). Differences
within the spread say that the default need not change.
"""

from collections.abc import Iterator

from experiments.configs.bases import BASELINE, Overrides, base_config
from experiments.settings.config import Config


def get_config(base: str = "generated") -> Config:
    """The base of the sweep; see `experiments.configs.bases`."""
    return base_config(base)


def get_sweep(base: str = "generated") -> Iterator[tuple[str, Overrides]]:
    """Variants by name."""
    stride = base_config(base).model.stride
    yield BASELINE, {}
    yield "late-unshared", {"model.sharing": "unshared"}
    yield "late-maximum", {"model.pooling": "maximum"}
    yield "late-learned-mask", {"model.mask": "learned"}
    yield "late-interpolated", {"model.support_grid": "interpolated", "model.support_stride": stride // 2}
    yield "late-both", {"model.locality": "both"}
