"""A trained model from its workdir, and what it predicts."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.loader import stack_episodes
from experiments.runs.data import evaluation_episodes, open_sources
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import FieldError, flatten, with_overrides
from guided_jax.backbones.preprocessing import Preprocessing
from guided_jax.episode import Episode, blank_batch
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state, predict_step
from guided_jax.segmentor import Segmentor


class Trained(NamedTuple):
    """A model with its parameters.

    Attributes:
        config: that it was trained with.
        model: the network.
        params: for `model.apply({"params": params}, ...)`.
        step: of the checkpoint.
    """

    config: Config
    model: Segmentor
    params: dict
    step: int


def load_model(workdir: Path, *, best: bool = False) -> Trained:
    """Reads the newest checkpoint of a run, or its best.

    Raises:
        UserError: the folder is no workdir, its configuration is of another version, or it holds no checkpoint yet.
    """
    workdir = Path(workdir)
    if not (workdir / "config.json").is_file():
        raise UserError(f"{workdir}: is not the workdir of a run (it holds no config.json)")
    try:
        # A field that came later than the run has the value that means what was there before: its default.
        stored = flatten(json.loads((workdir / "config.json").read_text()))
        config = with_overrides(Config(), stored, str(workdir / "config.json"))
    except FieldError as error:
        raise UserError(str(error)) from error
    kept = Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=0, read_only=True)
    try:
        step = kept.best() if best else kept.newest()
        if step is None:
            raise UserError(f"{workdir}: holds no checkpoint; train first")
        model = Segmentor(config.model, Preprocessing.from_dict(kept.about(step)["preprocessing"]))

        def initial(key, batch):
            params = model.init(key, batch)["params"]
            return create_state(params, make_optimizer(config.train), config.train.freeze)

        like = jax.eval_shape(initial, jax.random.key(0), blank_batch(64))
        state = jax.tree.map(jnp.asarray, kept.restore(step, like))
    finally:
        kept.close()
    return Trained(config, model, state.params, step)


def spread_tasks(config: Config, number: int) -> tuple[EvaluationEpisodes, list[int]]:
    """Opens the evaluation's tasks as images, and chooses some that lie evenly among them."""
    (opened,) = open_sources(config, "eval")
    tasks = evaluation_episodes(config, opened, None, limit=config.eval.limit, devices=1)
    real = [i for i in range(len(tasks)) if tasks.is_real(i)]
    chosen = np.linspace(0, len(real) - 1, min(number, len(real))).round().astype(int)
    return tasks, [real[i] for i in chosen]


def predict(trained: Trained, episodes: Sequence[Episode], draw: int) -> list[UInt8[np.ndarray, "_ _"]]:
    """Label maps of episodes of any canvas, under one draw of their annotations."""
    step = jax.jit(partial(predict_step, model=trained.model))
    maps = []
    for episode in episodes:
        single = episode._replace(annotation=episode.annotation[draw : draw + 1])
        maps.append(np.asarray(step(trained.params, stack_episodes([single])))[0, 0])
    return maps
