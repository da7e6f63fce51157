"""Models from elsewhere: the reference's snapshots by their model's name, or a `.safetensors` written here.

    guided_jax snapshot import FILE.pth --model=cofeat-late --workdir=runs/cofeat-late
    guided_jax run --config=snapshot:cofeat-late --workdir=runs/cofeat-late \
        --mode=eval --config.data.root=DATA

`--config=FILE:NAME` is the configuration that `import` gives the workdir: the model, the episodes that it is
built for, and the reference's optimisation, by which it can be trained on. `--config=FILE:PATH.safetensors` is
that of the model in the file, `--config=FILE:vgg16-decoder` that of a guide that comes with the package.
"""

import dataclasses
from pathlib import Path

from experiments.settings.config import Config, DataConfig, EvalConfig
from experiments.settings.errors import user_mistakes
from guided_jax.backbones.preprocessing import PREPROCESSINGS
from guided_jax.learning.config import TrainConfig
from guided_jax.shipped import SHIPPED, shipped_file
from guided_jax.snapshots.files import read_parameters
from guided_jax.snapshots.models import canonical_name, find_model

PREFIX = "snapshot-"
"""Of the name of the experiment, before that of the model."""


def get_config(snapshot: str = "interactive-late-glob") -> Config:
    """The configuration of one of the reference's models, or of a file.

    Args:
        snapshot: name in `guided_jax.snapshots.models.MODELS` or in `guided_jax.shipped.SHIPPED`, or a path that ends
            in `.safetensors`.

    Raises:
        UserError: there is no such model, or the file cannot be read.
    """
    with user_mistakes():
        if snapshot in SHIPPED:
            return _config_of_file(shipped_file(snapshot))
        if snapshot.endswith(".safetensors"):
            return _config_of_file(Path(snapshot))
        name = canonical_name(snapshot)
        model = find_model(name)
    conditional = model.mode == "conditional"
    return Config(
        name=PREFIX + name,
        data=DataConfig(
            train="voc:trainaug:class" if conditional else "sbd:train:instance",
            mode="semantic" if conditional else "interactive",
            buckets="384x512, 512x384, 512x512",
        ),
        model=model.config,
        train=TrainConfig(learning_rate=1e-6 if conditional else 1e-5),
        eval=EvalConfig(source="voc:val:class", points="1,2,4,8,16,32,64,128,dense", headline="1"),
    )


def _config_of_file(path: Path) -> Config:
    loaded = read_parameters(path)
    model, preprocessing = loaded.config, loaded.preprocessing
    names = [name for name, each in PREPROCESSINGS.items() if each == preprocessing]
    if not names:
        raise ValueError(f"{path}: its preprocessing ({preprocessing.key()}) is none of {', '.join(PREPROCESSINGS)}")
    if model.preprocessing not in names:
        model = dataclasses.replace(model, preprocessing=names[0])
    return Config(name=PREFIX + path.stem, model=model)
