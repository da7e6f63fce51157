"""A trained model from its workdir, and what it predicts."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import stack_episodes
from experiments.runs.data import evaluation_episodes, open_sources
from experiments.settings.config import Config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.fields import read_stored
from guided_jax.episode import Episode
from guided_jax.learning.step import predict_step
from guided_jax.loading import CONFIG, load, model_file, read_run_config
from guided_jax.segmentor import Segmentor
from guided_jax.tuning.episodes import Start, tuned_labels

OF_TRAINING = ("dropout", "drop_maps", "drop_image", "self_support", "init_std", "preprocessing", "dtype")
"""Fields of a model that may differ where it starts from a trained one: they say how it learns or is computed."""


class Trained(NamedTuple):
    """A model with its parameters.

    Attributes:
        config: that it was trained with.
        model: the network.
        params: for `model.apply({"params": params}, ...)`.
        about: what is known of the training, as in `guided_jax.loaded_model.LoadedModel`.
    """

    config: Config
    model: Segmentor
    params: dict
    about: dict[str, Any]

    @property
    def step(self) -> int:
        """Of the checkpoint; 0 where a file does not tell."""
        return self.about.get("step", 0)


def load_model(workdir: Path, *, best: bool = False, step: int | None = None) -> Trained:
    """Reads a checkpoint of a run: the newest, its best, or that of a step.

    Raises:
        UserError: the folder is no workdir, its configuration has fields that are unknown here, or it holds no such
            checkpoint (yet).
    """
    workdir = Path(workdir)
    try:
        config = read_stored(read_run_config(workdir), str(workdir / CONFIG))
        loaded = load(workdir, best=best, step=step)
    except ValueError as error:
        raise UserError(str(error)) from error
    return Trained(config, loaded.model, loaded.params, loaded.about)


def load_file(name: str) -> Trained:
    """Reads a model that is no run, with a configuration that has its model and is the default otherwise.

    Args:
        name: of a guide that comes with the package, or the path of a `.safetensors`.

    Raises:
        UserError: there is no such guide or file, or it is not sound.
    """
    with user_mistakes():
        path = model_file(name)
        if path.is_dir():
            raise UserError(f"{name}: is a folder; a run is named by --workdir={name}")
        loaded = load(name)
    return Trained(Config(name=path.stem, model=loaded.config), loaded.model, loaded.params, loaded.about)


def start_from(config: Config) -> tuple[Segmentor, dict]:
    """The model of an experiment with the parameters of the trained one that it starts from.

    Raises:
        ValueError: there is no such model, it is not sound, or it is another than the configuration's.
    """
    loaded = load(config.start_from)
    wanted, there = (dataclasses.asdict(each) for each in (config.model, loaded.config))
    for field in (field for field in wanted if field not in OF_TRAINING and wanted[field] != there[field]):
        raise ValueError(
            f"start_from={config.start_from}: its model has model.{field}={there[field]}, not {wanted[field]}; set that"
        )
    return Segmentor(config.model, loaded.preprocessing), loaded.params


def spread_tasks(config: Config, number: int) -> tuple[EvaluationEpisodes, list[int]]:
    """Opens the evaluation's tasks as images, and chooses some that lie evenly among them."""
    (opened,) = open_sources(config, "eval")
    tasks = evaluation_episodes(config, opened, None, limit=config.eval.limit, devices=1)
    real = [i for i in range(len(tasks)) if tasks.is_real(i)]
    chosen = np.linspace(0, len(real) - 1, min(number, len(real))).round().astype(int)
    return tasks, [real[i] for i in chosen]


def predict(trained: Trained, episodes: Sequence[Episode], draw: int) -> list[UInt8[np.ndarray, "_ _"]]:
    """Label maps of episodes of any canvas, under one draw of their annotations."""
    tune, start = trained.config.tune, trained.params
    if tune.steps:
        step = partial(tuned_labels, model=trained.model, config=tune, seed=trained.config.seed)
        start = Start(start, jnp.int32(tune.steps))
    else:
        step = partial(predict_step, model=trained.model)
    step, maps = jax.jit(step), []
    for episode in episodes:
        single = episode._replace(annotation=episode.annotation[draw : draw + 1])
        maps.append(np.asarray(step(start, stack_episodes([single])))[0, 0])
    return maps
