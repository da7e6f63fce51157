"""What one more click costs with the features cached, against a whole pass of a network that fuses early.

    guided_jax benchmark click [--size=480x854] [--rounds=9] [--workdir=DIR] [--config.model.F=VALUE ...]

Two clicks, each from the host to the label map, uint8, on the host. *By map*: the changed annotation as a whole goes
through guide, merge, segment, the greatest logit. *In a session* (`guided_jax.session`), as users have it: one click
more on an image, from its coordinates. The pass is what a click costs where image and annotation are stacked at the
input (paper 4.1): the stacked network of the same trunk, features and stride. Weights are random; all alternate in one
process, so that the ratio holds where the machine's speed drifts. The default is VGG-16 lite at stride 8;
`--config=FILE.py` takes an experiment's model. Where a model fuses early, its click is the pass of its own support
encoder, and the head.
On a machine with other work the minimum says what the code costs, the median what the machine gave.
"""

import dataclasses
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import UInt8

from experiments.benchmarks.command import SIZE, define_result, open_result, parse_size, write_result
from experiments.benchmarks.timing import milliseconds
from experiments.configs import interactive
from experiments.settings.command_flags import define_config, override, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.config_files import load_config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.help_texts import Command
from guided_jax.backbones.preprocessing import PREPROCESSINGS
from guided_jax.episode import UNKNOWN, blank_batch
from guided_jax.inference.labels import predict_labels
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
from guided_jax.observed import as_shots
from guided_jax.segmentor import Segmentor
from guided_jax.session import Session

COMMAND = Command(
    "guided_jax benchmark click",
    __doc__,
    fields="Another value for a field of the model, as --config.model.stride=16.",
)

POINTS = 5
"""Annotated pixels per label; the cost does not depend on them."""

CLICKS = 5
"""Clicks to each whole pass; a click is short."""


def measure_click(config: ModelConfig, height: int, width: int, *, rounds: int = 5) -> dict[str, Any]:
    """Times a click of a model, and a whole pass, on an image of a given size.

    Args:
        config: of the model; its weights are drawn at random.
        height: of the image in pixels.
        width: of the image in pixels.
        rounds: whole passes that are timed, each followed by some clicks, after a warm-up.

    Returns:
        update_ms: median milliseconds of a click by map, None where the model takes none (`fusion=none`).
        session_ms: of one in a session. whole_pass_ms: of the pass. ratio, session_ratio: medians over the rounds of
        the pass over the click. *_min_ms: minima. And height, width, rounds.
    """
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, height, width, 3), np.uint8)

    def annotation():
        labels = np.full(height * width, UNKNOWN, np.uint8)
        for label in range(config.way):
            labels[rng.integers(0, labels.size, POINTS)] = label
        return labels.reshape(1, height, width)

    functions = {"whole_pass": _build(_stacked(config), image, prepare_click)}
    if config.fusion != "none":
        functions["update"] = _build(config, image, prepare_click)
        functions["session"] = _build(config, image, prepare_session_click)
    for function in functions.values():  # compiles, and warms up
        for _ in range(2):
            function(annotation())
    times = {"whole_pass": [], "update": [], "session": []}
    ratios = {"update": [], "session": []}
    for _ in range(rounds):
        for name, function in functions.items():
            some = [milliseconds(partial(function, annotation())) for _ in range(1 if name == "whole_pass" else CLICKS)]
            times[name] += some
            if name != "whole_pass":
                ratios[name].append(times["whole_pass"][-1] / statistics.median(some))
    return {
        **{f"{name}_ms": statistics.median(each) if each else None for name, each in times.items()},
        **{f"{name}_min_ms": min(each, default=None) for name, each in times.items()},
        "ratio": statistics.median(ratios["update"]) if ratios["update"] else None,
        "session_ratio": statistics.median(ratios["session"]) if ratios["session"] else None,
        "height": height,
        "width": width,
        "rounds": rounds,
    }


def _stacked(config: ModelConfig) -> ModelConfig:
    """The network of the same trunk and features that segments image and annotation stacked."""
    same = ("backbone", "grid", "stride", "way", "init_std", "preprocessing", "dtype", "fc6_kernel")
    kept = {field: getattr(config, field) for field in same}
    stacked = ModelConfig(fusion="stack", inference="direct", sharing="unshared", **kept)
    # Without fc6 the features have the width of the lite models in the comparison.
    return dataclasses.replace(stacked, feature_width=config.feature_width or 256)


def _build(
    config: ModelConfig, image: np.ndarray, prepare: Callable[..., Callable[[np.ndarray], np.ndarray]]
) -> Callable[[np.ndarray], np.ndarray]:
    check_model(config)
    model = Segmentor(config, PREPROCESSINGS[config.preprocessing])
    return prepare(model, jax.jit(model.init)(jax.random.key(0), blank_batch(64))["params"], image)


def prepare_click(
    model: Segmentor, params: dict, image: UInt8[np.ndarray, "1 h w 3"]
) -> Callable[[np.ndarray], np.ndarray]:
    """Caches what does not depend on the annotation; returns the function from an annotation to the label map.

    Args:
        model: the network, one label map an image.
        params: of the network.
        image: support and query, without padding.

    Returns:
        From uint8 [1, h, w] to uint8 [1, h, w], both on the host.
    """
    params, canvas = {"params": params}, image.shape[1:3]
    size = jnp.array([canvas], jnp.int32)

    def observe(module, image):
        return module.observe(image, canvas, size)

    def label(module, observed, annotation):
        task = module.merge(module.guide_observed(as_shots(observed), annotation[:, None]))
        return predict_labels(module.segment(module.query_observed(observed, annotation), task, canvas, size))

    observed = jax.jit(partial(model.apply, method=observe))(params, jnp.asarray(image))
    update = jax.jit(partial(model.apply, method=label))
    return lambda annotation: np.asarray(update(params, observed, annotation))


def prepare_session_click(
    model: Segmentor, params: dict, image: UInt8[np.ndarray, "1 h w 3"]
) -> Callable[[np.ndarray], np.ndarray]:
    """Opens a session on an image with some clicks; returns the function that moves the last click and gives the mask.

    Arguments and result are those of `prepare_click`, but the annotation is ignored: where the click goes is random.
    """
    session, rng = Session(model, params), np.random.default_rng(1)
    session.add("image", image[0])

    def draw():
        row, column = rng.integers(0, image.shape[1:3]).tolist()
        session.click("image", row, column, int(rng.integers(model.config.way)))

    for _ in range(POINTS * model.config.way):
        draw()

    def click(annotation):
        del annotation
        session.undo()
        draw()
        return session.mask("image")[None]

    return click


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    define_config(values, "The experiment whose model is timed, interactive where none is named:")
    flags.DEFINE_string("size", SIZE, "`HEIGHTxWIDTH` of the image in pixels.", flag_values=values)
    text = "Number `N` of whole passes that are timed, each followed by some clicks."
    flags.DEFINE_integer("rounds", 9, text, flag_values=values)
    define_result(values, "click")
    _, overrides = read_flags(argv, values, COMMAND)
    config = override(
        load_config(values.config) if values.config else interactive.get_config(), overrides, list(values)
    )
    height, width = parse_size(values.size)
    if values.rounds < 1:
        raise UserError(f"--rounds={values.rounds}: at least 1")
    workdir = open_result(values)
    with user_mistakes():
        check_model(config.model)
        times = measure_click(config.model, height, width, rounds=values.rounds)
    if times["update_ms"] is None:
        print("the network takes no clicks")
    else:
        print(
            f"median (minimum) at {values.size}: a click in a session {times['session_ms']:.2f} "
            f"({times['session_min_ms']:.2f}) ms, by map {times['update_ms']:.2f} ({times['update_min_ms']:.2f}) ms, a "
            f"whole pass {times['whole_pass_ms']:.1f} ({times['whole_pass_min_ms']:.1f}) ms: "
            f"{times['session_ratio']:.0f} and {times['ratio']:.0f} times as fast"
        )
    write_result(workdir, "click", {**times, "model": dataclasses.asdict(config.model)})


if __name__ == "__main__":
    sys.exit(start(main))
