"""What is wrong with a configuration, found before anything is opened."""

import re
import tempfile
from pathlib import Path

import jax

from data_pipelines.datasets.record import DatasetError
from data_pipelines.points import draws_clicks, most, parse_points, parse_shots
from data_pipelines.selection.lists import find_list_files
from data_pipelines.selection.protocols import PROTOCOLS
from data_pipelines.views import WINDOW_STEP
from experiments.settings.config import Config, EvalConfig
from experiments.settings.errors import UserError
from experiments.settings.memory import check_memory
from experiments.settings.parameters import parameter_sizes
from experiments.settings.ranges import check_ranges
from guided_jax.backbones.preprocessing import named_preprocessing
from guided_jax.backbones.table import BACKBONES
from guided_jax.backbones.weight_downloads import check_weights
from guided_jax.learning.config import check_train
from guided_jax.loading import model_file
from guided_jax.model_checks import check_mode, check_model
from guided_jax.shipped import SHIPPED
from guided_jax.tuning.config import check_tune

LONGEST_NAME = 200
"""Bytes in the name of a result or a variant: file systems take 255 with all that is put around it."""


def check_config(config: Config, *, training: bool) -> None:
    """Finds what is wrong with a configuration before anything is opened.

    Args:
        config: of the experiment.
        training: False where a trained model is only scored: on another number of devices, say.

    Raises:
        ValueError: naming the field and what would be right.
    """
    check_fields(config, training=training)
    check_mode(config.model, config.eval.mode or config.data.mode, "eval.mode" if config.eval.mode else "data.mode")
    _check_evaluation(config, training=training)
    if config.start_from:
        _check_start(config)
    elif config.weights:
        _check_weights(config)
    if config.train.cache_features:
        _check_cache(config)
    if config.eval.guided_filter and config.tune.steps:
        raise ValueError("eval.guided_filter: is not of fine-tuned networks (tune.steps); leave it False")
    check_tune(config.tune, config.model, parameter_sizes(config.model), cached=config.train.cache_features)
    check_memory(config, training=training)


def _check_weights(config: Config) -> None:
    try:
        check_weights(config.weights, BACKBONES[config.model.backbone])
    except ValueError as error:
        raise ValueError(f"weights={error}") from error
    try:
        named_preprocessing(config.weights_preprocessing or "caffe")
    except ValueError as error:
        raise ValueError(f"weights_preprocessing: {error}") from error


def _check_start(config: Config) -> None:
    try:
        file = model_file(config.start_from)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"start_from={error}") from error
    if not file.is_file():
        raise ValueError(
            f"start_from={config.start_from}: no such file; a .safetensors, or one of {', '.join(SHIPPED)}, would be"
        )


def check_fields(config: Config, *, training: bool = False) -> None:
    """Finds what is wrong with the fields whatever is evaluated, and how; raises as `check_config`."""
    check_ranges(config)
    check_model(config.model)
    # Without an update there is no batch that would have to divide.
    check_train(config.train, jax.device_count() if training and config.train.steps else 1)
    check_name(config.eval.name)
    headline_draw(config.eval)
    if training:
        _check_training(config)


def _check_training(config: Config) -> None:
    data, shots = config.data, most(parse_shots(config.data.shots))
    check_mode(config.model, data.mode, "data.mode")
    if config.train.corrections and (data.mode != "interactive" or config.model.fusion == "none"):
        raise ValueError(
            f"train.corrections={config.train.corrections}: corrects the query's own annotation; it needs a guided "
            "model and data.mode=interactive"
        )
    if data.mode != "interactive" and draws_clicks(parse_points(data.points)):
        raise ValueError(f"data.points={data.points!r}: clicks are on the query itself, in data.mode=interactive alone")
    if data.mode == "interactive" and shots != 1:
        raise ValueError(f"data.shots={data.shots}: data.mode=interactive has one, the query image; set it to 1")
    if data.window % WINDOW_STEP:
        raise ValueError(
            f"data.window={data.window}: must be a multiple of {WINDOW_STEP} pixels, or 0 (the whole image)"
        )
    if data.mode == "views" and shots > data.crops:
        raise ValueError(f"data.crops={data.crops}: data.mode=views needs a crop for each of data.shots={data.shots}")


def _check_evaluation(config: Config, *, training: bool) -> None:
    evaluation = config.eval
    for field, lists in (("data.lists", config.data.lists if training else ""), ("eval.lists", evaluation.lists)):
        try:
            find_list_files(lists) if lists else ()
        except DatasetError as error:
            raise ValueError(f"{field}: {error}") from error
    mode = evaluation.mode or config.data.mode
    if mode == "views":
        raise ValueError("data.mode=views is for training alone; set eval.mode to one of interactive, semantic, video")
    if mode == "interactive" and evaluation.shots != 1:
        raise ValueError(f"eval.shots={evaluation.shots}: interactive mode has one, the query image; set it to 1")
    if PROTOCOLS[evaluation.protocol].episodes and mode != "semantic":
        raise ValueError(f"eval.protocol={evaluation.protocol} is of semantic mode, not of {mode}; set eval.mode")


def _check_cache(config: Config) -> None:
    if config.eval.guided_filter:
        raise ValueError("eval.guided_filter: needs the pixels of the query; set train.cache_features to False")
    if config.model.fusion in ("stack", "mask"):
        raise ValueError(
            f"train.cache_features: model.fusion={config.model.fusion} runs the trunk on image and annotation, "
            "so no features can be kept; set it to False"
        )
    if config.model.support_grid == "dilated":
        raise ValueError(
            "train.cache_features: model.support_grid=dilated runs the trunk once more on another grid; set it to False"
        )
    if not (config.weights or config.start_from):
        raise ValueError("train.cache_features: features of an untrained trunk; name its file in `weights`")


def headline_draw(evaluation: EvalConfig) -> int:
    """Position in `eval.points` of the number of points by which checkpoints are compared."""
    names = [name.strip() for name in evaluation.points.split(",")]
    if not evaluation.headline:
        return 0
    if evaluation.headline not in names:
        raise ValueError(f"eval.headline={evaluation.headline!r} is not one of eval.points={evaluation.points!r}")
    return names.index(evaluation.headline)


def check_name(name: str) -> None:
    """Raises ValueError where the name of a result does not fit a file's."""
    if not re.fullmatch(r"[\w.+-]*", name):
        raise ValueError(f"eval.name={name!r}: letters, digits, '.', '+' and '-' are allowed, for result-NAME.json")
    if (size := len(name.encode())) > LONGEST_NAME:
        raise ValueError(f"eval.name={name:.20}...: has {size} bytes; at most {LONGEST_NAME}, for result-NAME.json")


def check_writable(folder: Path, flag: str) -> None:
    """Raises UserError where a folder, or the one that it would be made in, cannot be written; leaves nothing there."""
    try:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UserError(f"{flag}={folder}: {'' if there == folder else f'{there} '}is a file, not a folder")
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"0")
    except OSError as error:
        raise UserError(f"{flag}={folder}: cannot be written: {error.strerror}") from error
