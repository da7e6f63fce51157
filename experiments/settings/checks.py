"""What is wrong with a configuration, found before anything is opened."""

import re
from pathlib import Path

import jax

from data_pipelines.canvas import parse_canvases
from data_pipelines.datasets.record import DatasetError
from data_pipelines.points import parse_counts, parse_points, parse_shots
from data_pipelines.selection.classes import parse_classes
from data_pipelines.selection.lists import find_list_files
from data_pipelines.selection.protocols import PROTOCOLS
from experiments.settings.config import Config, EvalConfig
from experiments.settings.errors import UserError
from guided_jax.backbones.preprocessing import named_preprocessing
from guided_jax.backbones.weight_downloads import check_weights
from guided_jax.learning.config import check_train
from guided_jax.model_config import check_mode, check_model


def check_config(config: Config, *, training: bool) -> None:
    """Finds what is wrong with a configuration before anything is opened.

    Args:
        config: of the experiment.
        training: False where a trained model is only scored: on another number of devices, say.

    Raises:
        ValueError: naming the field and what would be right.
    """
    check_model(config.model)
    if training:
        check_mode(config.model, config.data.mode, "data.mode")
    check_mode(config.model, config.eval.mode or config.data.mode, "eval.mode" if config.eval.mode else "data.mode")
    check_train(config.train, jax.device_count() if training else 1)
    if config.train.corrections and (config.data.mode != "interactive" or config.model.fusion == "none"):
        raise ValueError(
            f"train.corrections={config.train.corrections}: corrects the query's own annotation; it needs a guided "
            "model and data.mode=interactive"
        )
    _check_texts(config)
    _check_evaluation(config, training=training)
    if config.weights:
        _check_weights(config)
    if config.train.cache_features:
        _check_cache(config)


def _check_weights(config: Config) -> None:
    try:
        check_weights(config.weights)
    except ValueError as error:
        raise ValueError(f"weights={error}") from error
    try:
        named_preprocessing(config.weights_preprocessing or "caffe")
    except ValueError as error:
        raise ValueError(f"weights_preprocessing: {error}") from error


def _check_texts(config: Config) -> None:
    texts = {
        "data.points": (config.data.points, parse_points),
        "data.shots": (config.data.shots, parse_shots),
        "data.buckets": (config.data.buckets, parse_canvases),
        "eval.points": (config.eval.points, parse_counts),
        "data.classes": (config.data.classes, parse_classes),
        "eval.classes": (config.eval.classes, parse_classes),
    }
    for field, (text, parse) in texts.items():
        try:
            parse(text)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from error


def _check_evaluation(config: Config, *, training: bool) -> None:
    evaluation = config.eval
    headline_draw(evaluation)
    check_name(evaluation.name)
    if evaluation.save:
        check_new(Path(evaluation.save), "eval.save")
    for field, lists in (("data.lists", config.data.lists if training else ""), ("eval.lists", evaluation.lists)):
        try:
            find_list_files(lists) if lists else ()
        except DatasetError as error:
            raise ValueError(f"{field}: {error}") from error
    if evaluation.protocol not in PROTOCOLS:
        raise ValueError(f"eval.protocol={evaluation.protocol!r} is not one of {', '.join(PROTOCOLS)}")
    mode = evaluation.mode or config.data.mode
    if mode == "views":
        raise ValueError("data.mode=views is for training alone; set eval.mode to one of interactive, semantic, video")
    if PROTOCOLS[evaluation.protocol].episodes and mode != "semantic":
        raise ValueError(f"eval.protocol={evaluation.protocol} is of semantic mode, not of {mode}; set eval.mode")
    if evaluation.draws < 0:
        raise ValueError(f"eval.draws={evaluation.draws} must be 0, for the protocol's own, or more")
    if evaluation.checkpoint not in ("last", "best"):
        raise ValueError(f"eval.checkpoint={evaluation.checkpoint!r} is not one of last, best")


def _check_cache(config: Config) -> None:
    if config.model.fusion in ("stack", "mask"):
        raise ValueError(
            f"train.cache_features: model.fusion={config.model.fusion} runs the trunk on image and annotation, "
            "so no features can be kept; set it to False"
        )
    if config.model.support_grid == "dilated":
        raise ValueError(
            "train.cache_features: model.support_grid=dilated runs the trunk once more on another grid; set it to False"
        )
    if not config.weights:
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


def check_new(folder: Path, flag: str) -> None:
    """Raises UserError where a folder to write to holds something already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{flag}={folder}: is there already; give a new folder")
