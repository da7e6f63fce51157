"""The models that the reference's code builds, under its names, as configurations of this one.

The names are those of its branch `master`. `NAME@image-seg` are the models that its branch `image-seg` builds
under the same name in another form: unshared and lite, and early fusion with the annotation's channels as
[positive, negative]. In both branches of July 2018 `interactive-` is called `dios-`; that is understood, too.
"""

import dataclasses
from dataclasses import dataclass

from guided_jax.backbones.preprocessing import CAFFE_ILSVRC, Preprocessing
from guided_jax.backbones.weight_files import WeightsError
from guided_jax.model_config import ModelConfig


@dataclass(frozen=True)
class ReferenceModel:
    """One of the reference's models.

    Attributes:
        config: the configuration of the same model here, for two labels.
        mode: the episodes that it is built for: `interactive` (it takes one image, which is support and query),
            `conditional` (the support are other images) or `unguided`.
        positive_first: the early models' annotation channels are [positive, negative], not [negative, positive].
    """

    config: ModelConfig
    mode: str
    positive_first: bool = False

    @property
    def any_way(self) -> bool:
        """Whether it takes other than two labels: with the same parameters, or as so many classes of `fcn32s`."""
        return self.config.fusion == "none" or self.config.sharing == "shared"


def _config(width: int, **fields) -> ModelConfig:
    common = {"backbone": "vgg16", "grid": "exact", "stride": 32, "fc6_kernel": 7, "way": 2}
    return ModelConfig(feature_width=width, preprocessing="caffe-ilsvrc", **common, **fields)


def _late(width: int, *, locality: str = "global", sharing: str = "shared", mode: str) -> ReferenceModel:
    merge = "annotating" if sharing == "shared" else "every"
    config = _config(width, fusion="late", locality=locality, merge=merge, inference="feature-fusion", sharing=sharing)
    return ReferenceModel(config, mode)


def _direct(width: int, *, fusion: str, positive_first: bool = False) -> ReferenceModel:
    config = _config(width, fusion=fusion, encoding="discs", inference="direct", sharing="unshared")
    return ReferenceModel(config, "unguided" if fusion == "none" else "interactive", positive_first)


def _cofeat_early(*, positive_first: bool = False) -> ReferenceModel:
    config = _config(
        256,
        fusion="stack",
        encoding="discs",
        merge="pooled",
        inference="feature-fusion",
        sharing="unshared",
        head_width=256,
    )
    return ReferenceModel(config, "conditional", positive_first)


_LITE_UNSHARED = {"width": 256, "sharing": "unshared"}

MODELS: dict[str, ReferenceModel] = {
    "fgbg": _direct(4096, fusion="none"),
    "fgbg-lite": _direct(256, fusion="none"),
    "fcn32s": _direct(4096, fusion="none"),
    "fcn32s-lite": _direct(256, fusion="none"),
    "interactive-early": _direct(4096, fusion="stack"),
    "interactive-early-lite": _direct(256, fusion="stack"),
    "interactive-late": _late(4096, locality="local", mode="interactive"),
    "interactive-late-glob": _late(4096, mode="interactive"),
    "interactive-late-glob-lite": _late(256, mode="interactive"),
    "cofeat-early": _cofeat_early(),
    "cofeat-late": _late(4096, mode="conditional"),
    "cofeat-late-lite": _late(256, mode="conditional"),
    "cofeat-late-lite-unshared": _late(**_LITE_UNSHARED, mode="conditional"),
    "fgbg@image-seg": _direct(256, fusion="none"),
    "interactive-early@image-seg": _direct(4096, fusion="stack", positive_first=True),
    "interactive-early-lite@image-seg": _direct(256, fusion="stack", positive_first=True),
    "interactive-late@image-seg": _late(**_LITE_UNSHARED, locality="local", mode="interactive"),
    "interactive-late-glob@image-seg": _late(**_LITE_UNSHARED, mode="interactive"),
    "cofeat-early@image-seg": _cofeat_early(positive_first=True),
    "cofeat-late@image-seg": _late(**_LITE_UNSHARED, mode="conditional"),
}
"""The reference's models by name. Where two names are of one model, the first that fits is what an export takes."""

PREPROCESSING: Preprocessing = CAFFE_ILSVRC
"""Of all of them."""


def head_width(config: ModelConfig) -> int:
    """Outputs of the head's fc7."""
    blocks = 1 if config.inference == "direct" else 2 if config.sharing == "shared" else 1 + config.way
    return config.head_width or blocks * config.feature_width


def find_model(name: str, way: int = 2) -> ReferenceModel:
    """Looks a model up by its name, for a number of labels.

    Raises:
        WeightsError: the reference has no model of that name, or not for so many labels.
    """
    name = canonical_name(name)
    model = MODELS[name]
    if way < 2 or (way > 2 and not model.any_way):
        raise WeightsError(f"{name}: is for {'2 labels or more' if model.any_way else '2 labels'}, not for {way}")
    return dataclasses.replace(model, config=dataclasses.replace(model.config, way=way))


def canonical_name(name: str) -> str:
    """The name in `MODELS`, of which `dios-late` and the like are older forms.

    Raises:
        WeightsError: there is none.
    """
    current = f"interactive-{name[5:]}" if name.startswith("dios-") else name
    if current not in MODELS:
        raise WeightsError(f"{name!r}: the reference has no such model; it has {', '.join(MODELS)}")
    return current


# Fields without effect on the logits of evaluation, or decided by the episodes and not by the parameters.
_FREE = ("dropout", "init_std", "dtype", "way", "preprocessing", "merge")
# Fields without effect beside these values of `fusion`.
_IDLE = {
    "late": ("encoding",),
    "stack": ("mask", "support_grid", "support_stride", "locality", "pooling"),
    "mask": ("encoding", "mask", "support_grid", "support_stride", "locality", "pooling"),
    "none": ("encoding", "mask", "support_grid", "support_stride", "locality", "pooling", "sharing"),
}


def matching_names(config: ModelConfig) -> list[str]:
    """The names of the reference's models that compute what a configuration does, in the order of `MODELS`.

    The rule by which shots are merged is no part of a snapshot and not compared.

    Raises:
        WeightsError: there is none; with what sets the nearest one apart.
    """
    differing = {name: _differing(config, model) for name, model in MODELS.items()}
    names = [name for name, fields in differing.items() if not fields]
    if not names:
        nearest = min(MODELS, key=lambda name: (_unlike(config, MODELS[name].config), len(differing[name])))
        raise WeightsError(f"the reference has no such model: its {nearest} has {', '.join(differing[nearest])}")
    return names


def _unlike(config: ModelConfig, theirs: ModelConfig) -> tuple[bool, ...]:
    """By which models are told apart, the weightiest first."""
    telling = ("fusion", "inference", "locality", "sharing", "feature_width")
    return tuple(getattr(config, field) != getattr(theirs, field) for field in telling)


def _differing(config: ModelConfig, model: ReferenceModel) -> list[str]:
    theirs = model.config
    idle = {*_FREE, *_IDLE[theirs.fusion], *(("metric",) if theirs.inference != "distance" else ())}
    if theirs.locality == "local":
        idle.add("pooling")
    pairs = {
        field.name: (getattr(config, field.name), getattr(theirs, field.name))
        for field in dataclasses.fields(ModelConfig)
        if field.name not in idle
    }
    if pairs.get("support_stride", (0, 0))[0] == theirs.stride:
        del pairs["support_stride"]
    if head_width(config) == head_width(theirs):
        del pairs["head_width"]
    wrong = [
        f"model.{name}={theirs!r} where this has {ours!r}" for name, (ours, theirs) in pairs.items() if ours != theirs
    ]
    if config.way != 2 and not model.any_way:
        wrong.append(f"model.way=2 where this has {config.way}")
    return wrong
