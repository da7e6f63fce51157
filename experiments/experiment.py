"""One experiment from its configuration: open, train, evaluate. What the runner and the quickstart call."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.compose import CachedFeatures
from data_pipelines.counted import counted
from data_pipelines.episodes import EpisodeStream
from data_pipelines.evaluation import EvaluationEpisodes
from data_pipelines.tasks import count_tasks
from data_pipelines.views import View
from experiments.evaluation.predictions import claim_predictions, draw_folder, mask_writer, write_index
from experiments.evaluation.task_rows import write_scores
from experiments.evaluation.tasks import Scores, report, score
from experiments.runs.data import (
    OpenSource,
    count_draws,
    data_versions,
    evaluation_episodes,
    host_batches,
    open_evaluation,
    open_training,
    training_stream,
    training_views,
)
from experiments.runs.features import cache_features
from experiments.runs.load import start_from
from experiments.runs.metrics import MetricWriter, Progress, RunLog
from experiments.runs.principal import set_principal
from experiments.runs.tuning import TunedCount
from experiments.runs.unseen import check_evaluation, trained_classes
from experiments.runs.workdir import open_workdir, record_start, refuse_other_data
from experiments.settings.checks import check_config, headline_draw
from experiments.settings.config import Config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.exits import Terminated, asked_to_stop
from experiments.settings.fields import to_dict
from experiments.settings.hosts import any_host, from_first, together
from guided_jax.backbones.preprocessing import PREPROCESSINGS
from guided_jax.backbones.pretrained import load_into, read_weights
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.weight_downloads import locate
from guided_jax.episode import blank_batch
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.damage import DamagedCheckpoint
from guided_jax.learning.loop import NonFiniteLoss, Stopped, train
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.parallel import (
    devices_of,
    gather,
    parallel_evaluate,
    parallel_train_step,
    place,
    prefetch,
    replicate,
)
from guided_jax.learning.step import TrainState, create_state, evaluate_step, train_step
from guided_jax.segmentor import Segmentor
from guided_jax.tuning.episodes import evaluate_tuned_step
from guided_jax.without_training import place_directions

logger = logging.getLogger(__name__)


class Experiment(NamedTuple):
    """Everything of an experiment but its state.

    Attributes:
        config: as given.
        parallel: pmap, jit or fsdp.
        model: the network.
        train_sources: data sets of the training; empty where there is none.
        eval_source: data set of the evaluation.
        stream: of the training's episodes; None where there is none.
        tasks: of the evaluation.
        tasks_during: of the evaluations during training; None where there is none.
        more_draws: the evaluation's tasks with support and points drawn again.
    """

    config: Config
    parallel: str
    model: Segmentor
    train_sources: list[OpenSource]
    eval_source: OpenSource
    stream: EpisodeStream | None
    tasks: EvaluationEpisodes
    tasks_during: EvaluationEpisodes | None
    more_draws: tuple[EvaluationEpisodes, ...] = ()


def run(config: Config, workdir: Path, mode: str = "train_and_eval", parallel: str = "pmap") -> dict[str, Any] | None:
    """Runs an experiment, or goes on with one that was interrupted.

    Args:
        config: of the experiment.
        workdir: holds everything of the run; a run of another configuration is refused.
        mode: train, eval (of a checkpoint, see `eval.checkpoint`), or train_and_eval.
        parallel: pmap, jit or fsdp.

    Returns:
        The result of the evaluation, as written to `result.json`; None in mode train.

    Raises:
        UserError: what a user can mend, before anything long has begun.
    """
    workdir, first = Path(workdir), jax.process_index() == 0
    with contextlib.ExitStack() as stack:
        with together(), user_mistakes():
            check_config(config, training=mode != "eval")
            if first:
                stack.enter_context(open_workdir(workdir, config, mode))
                if config.eval.save and mode != "train":
                    claim_predictions(config)
        with together(), user_mistakes():
            train_sources, eval_source = open_data(config, training=mode != "eval")
            data = data_versions([*train_sources, eval_source])
            if first:
                refuse_other_data(workdir, config, mode=mode, data=data)
            experiment, params = open_experiment(config, parallel, train_sources, eval_source)
            trained, learnt = trained_classes(config, experiment.train_sources), to_dict(config)["data"]
            if mode != "eval":
                seen = check_evaluation(config, experiment.eval_source, trained)
            state = create_state(params, make_optimizer(config.train), config.train.freeze)
            start = record_start(workdir, config, mode=mode, parallel=parallel, data=data) if first else {}
        with together(), user_mistakes(), _way_past_damage():
            kept = Checkpoints(
                workdir / "checkpoints",
                keep_last=config.train.keep_last,
                keep_best=config.train.keep_best,
                skip_damaged=config.train.skip_damaged,
            )
            stack.callback(kept.close)
            step = kept.best() if scores_best(config, mode) else kept.newest()
            if mode == "eval" and step is None and first:
                raise ValueError(f"--workdir={workdir}: holds no checkpoint to evaluate; train first")
            if mode == "eval" and step is not None:
                of = kept.about(step)
                trained, learnt = of.get("trained_classes"), of.get("config", {}).get("data", {})
                seen = check_evaluation(config, experiment.eval_source, trained)
            if step is not None:
                state = kept.restore(step, state)
                logger.info("%s the checkpoint of step %d", "scoring" if mode == "eval" else "going on from", step)
        about = {
            "config": to_dict(config),
            "preprocessing": experiment.model.preprocessing.to_dict(),
            "trained_classes": trained,
            "trained_on": {name: learnt.get(name) for name in ("train", "mode", "classes", "shots", "points")}
            | ({"start_from": Path(config.start_from).name} if config.start_from else {}),
            **start,
        }
        state = place(from_first(state), parallel, devices_of(parallel))
        scores = None
        if mode != "eval":
            try:
                state, scores = _train(experiment, state, kept, about, workdir, stack)
            except NonFiniteLoss as error:
                raise UserError(str(error)) from error
            if kept.newest() is None:  # no updates: the start itself can be scored and looked at
                kept.save(state, about, None)
        if mode == "train":
            return None
        tuning = TunedCount(config.tune) if config.tune.steps else None
        scorer = make_scorer(experiment, experiment.tasks, show=True, save=config.eval.save, tuning=tuning)
        scores = scorer(state.params) if scores is None or config.eval.save or tuning else scores
        more = [scorer(state.params, each, draw) for draw, each in enumerate(experiment.more_draws, 1)]
        step, limit = int(state.step), config.eval.limit
        result = report(
            config, experiment.eval_source, scores, step=step, limit=limit, about=about, more=more, seen=seen
        )
        if tuning:
            result["speed"] = tuning.summary()
        if first:
            draws = [experiment.tasks, *experiment.more_draws]
            if config.eval.save:
                write_index(Path(config.eval.save), config, result, draws)
            write_scores(workdir, config.eval.name, result, [scores, *more], draws)
        return result


@contextlib.contextmanager
def _way_past_damage() -> Iterator[None]:
    """Around what opens the checkpoints of a run: says by which field a damaged one is passed over, too."""
    try:
        yield
    except DamagedCheckpoint as error:
        way = "" if error.other is None else ", or pass it over: --config.train.skip_damaged=True"
        raise ValueError(f"{error}{way}") from error


def scores_best(config: Config, mode: str) -> bool:
    """Whether a run scores its best checkpoint, and not what was trained last."""
    return mode == "eval" and config.eval.checkpoint == "best"


def open_data(config: Config, *, training: bool) -> tuple[list[OpenSource], OpenSource]:
    """The sources of the training, where there is one, and that of the evaluation; weights are had before them.

    Raises:
        ValueError, DatasetError: what a user can mend.
    """
    if config.weights and not config.start_from:
        locate(config.weights)  # first: a download may fail, and data sets can take hours to build
    eval_source = open_evaluation(config)
    train_sources = open_training(config) if training else []
    for opened in [eval_source, *train_sources]:
        number = counted(count_tasks(opened.tasks), "task")
        logger.info("%s: %s in %s", opened.split.name, number, counted(len(np.unique(opened.tasks.record)), "image"))
    return train_sources, eval_source


def open_experiment(
    config: Config, parallel: str, train_sources: list[OpenSource], eval_source: OpenSource
) -> tuple[Experiment, dict]:
    """Opens model and features of data that are open; returns the experiment and its initial parameters.

    Raises:
        ValueError, DatasetError: what a user can mend.
    """
    training = bool(train_sources)
    model, params = initial_parameters(config)
    features = open_features(config, model, params, train_sources, eval_source)
    if not config.start_from:
        params = place_directions(model, params)
    if training and not config.start_from:
        params = set_principal(config, model, params, train_sources, features)
    stream = training_stream(config, train_sources, features) if training else None
    tasks = partial(evaluation_episodes, config, eval_source, features, devices=jax.device_count())
    tasks_during = tasks(limit=config.eval.during) if training else None
    whole, *more = (tasks(limit=config.eval.limit, draw=draw) for draw in range(count_draws(config.eval)))
    experiment = Experiment(
        config, parallel, model, train_sources, eval_source, stream, whole, tasks_during, tuple(more)
    )
    return experiment, params


def open_features(
    config: Config, model: Segmentor, params: dict, train_sources: list[OpenSource], eval_source: OpenSource
) -> CachedFeatures | None:
    """Fills the cache of features where `train.cache_features` asks for one, and opens it; else None."""
    if not config.train.cache_features:
        return None
    features = cache_features(config, model, params, [eval_source], [View(config.data.max_side)])
    if train_sources:
        features = cache_features(config, model, params, train_sources, training_views(config.data))
    return features


def initial_parameters(config: Config) -> tuple[Segmentor, dict]:
    """Builds the model and its parameters, with the pretrained weights in place.

    Raises:
        ValueError: the weights do not fit the model, or their file is not sound.
    """
    if config.start_from:
        model, params = start_from(config)
        logger.info("parameters of %s in place", config.start_from)
        return model, params
    pretrained = None
    if config.weights:
        backbone = BACKBONES[config.model.backbone]
        pretrained = read_weights(config.weights, backbone, preprocessing=config.weights_preprocessing or None)
    preprocessing = pretrained.preprocessing if pretrained else PREPROCESSINGS[config.model.preprocessing]
    model = Segmentor(config.model, preprocessing)
    params = jax.jit(model.init)(jax.random.key(config.seed), blank_batch(64))["params"]
    if pretrained:
        params, report = load_into(params, pretrained)
        logger.info("weights of %s: %d layers in place", config.weights, len(report.loaded))
    return model, jax.tree.map(jnp.asarray, params)


def make_scorer(
    experiment: Experiment,
    tasks: EvaluationEpisodes,
    *,
    show: bool = False,
    save: str = "",
    tuning: TunedCount | None = None,
) -> Callable[..., Scores]:
    """Returns a function that scores parameters, on another draw's tasks where it is given them and its number.

    It compiles once per canvas, however often it is called. With a folder to `save` to, it writes the masks there. With
    `tuning` the network is fitted to each task first, and how long that takes is kept there.
    """
    # Each process scores its share on its own devices, so that no batch waits for another host.
    mode, devices = experiment.parallel if jax.process_count() == 1 else "jit", jax.local_devices()
    config, step = experiment.config, evaluate_step
    if tuning:
        step = partial(evaluate_tuned_step, config=config.tune, seed=config.seed)
    elif config.eval.guided_filter:
        step = partial(step, guided_filter=True)
    step = partial(step, model=experiment.model, with_labels=bool(save))
    count, draws = parallel_evaluate(step, mode, devices), count_draws(config.eval)
    count = tuning.timed(count) if tuning else count

    def scorer(params: dict, tasks: EvaluationEpisodes = tasks, draw: int = 0) -> Scores:
        if jax.process_count() > 1:
            params = replicate(gather(params), devices)
        keep = mask_writer(draw_folder(Path(save), draw, draws), tasks) if save else None
        return score(config, params, tasks, count, mode, show=show, keep=keep)

    return scorer


def _train(
    experiment: Experiment,
    state: TrainState,
    kept: Checkpoints,
    about: dict[str, Any],
    workdir: Path,
    stack: contextlib.ExitStack,
) -> tuple[TrainState, Scores | None]:
    """Trains; returns the last scores, too, where they are of the last state and of all tasks.

    Raises:
        Terminated: by SIGTERM, when what has been trained is in a checkpoint.
    """
    config, first = experiment.config, jax.process_index() == 0
    step = int(state.step)
    update = parallel_train_step(
        partial(
            train_step,
            model=experiment.model,
            optimizer=make_optimizer(config.train),
            seed=config.seed,
            accumulation=config.train.accumulation,
            corrections=config.train.corrections,
            correction_stride=config.train.correction_stride,
            dice=config.train.dice,
            balance=config.train.balance,
        ),
        experiment.parallel,
        jax.devices(),
    )
    batches = host_batches(config, experiment.stream, config.train.batch_size, start=step, stop=config.train.steps)
    scorer = make_scorer(experiment, experiment.tasks_during)
    draw = headline_draw(config.eval)
    latest: Scores | None = None

    def evaluate(state: TrainState) -> dict[str, float]:
        nonlocal latest
        latest = scorer(state.params)
        scores = list(latest.by_points.items())
        values = {f"pos_iu@{points}": each.pooled for points, each in scores}
        return {"pos_iu": scores[draw][1].pooled, "class_mean": scores[draw][1].class_mean, **values}

    writer = stack.enter_context(MetricWriter(workdir, step, writes=first))
    progress = stack.enter_context(Progress(config.train.steps, step, shown=first))
    with asked_to_stop() as asked:

        def stop(step: int) -> bool:
            # Several hosts must stop at the same update; they agree where they wait for each other anyway.
            return asked() if jax.process_count() == 1 else step % config.train.log_every == 0 and any_host(asked())

        try:
            state = train(
                state,
                update,
                prefetch(batches, experiment.parallel, devices_of(experiment.parallel)),
                config.train,
                evaluate=evaluate,
                checkpoints=kept,
                about=about,
                log=RunLog(writer, progress),
                stop=stop,
            )
        except Stopped as error:
            logger.info("a checkpoint of step %s is written", error)
            raise Terminated from error
    if asked():
        raise Terminated
    return state, latest if config.eval.during == config.eval.limit else None
