"""The benchmark of a click: that it computes what the model does, and counts what it says."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from experiments.benchmarks import click as module
from experiments.benchmarks.click import main, measure_click, prepare_click, prepare_session_click
from experiments.settings.errors import UserError
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.episode import UNKNOWN, blank_batch
from guided_jax.learning.step import predict_step
from guided_jax.model_checks import check_model
from guided_jax.model_config import ModelConfig
from guided_jax.segmentor import Segmentor

HEIGHT, WIDTH = 40, 52
TINY = {"backbone": "vgg-tiny", "grid": "taps", "stride": 4, "feature_width": 8, "fc6_kernel": 3, "init_std": 0.1}
EARLY = {"fusion": "stack", "sharing": "unshared"}
MODELS = {
    "late": {},
    "local": {"locality": "local"},
    "finer": {"support_grid": "interpolated", "support_stride": 2},
    "neighbours": {"inference": "distance", "locality": "local"},
    "untrained": {"inference": "distance", "feature_width": 0},
    "early": EARLY,
    "mask": {**EARLY, "fusion": "mask"},
    "direct": {**EARLY, "inference": "direct"},
    "dilated": {"grid": "exact", "stride": 8, "support_grid": "dilated", "support_stride": 4},
}


@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS.keys())
def test_a_click_gives_what_the_model_gives(fields):
    config = ModelConfig(**{**TINY, **fields})
    check_model(config)
    model = Segmentor(config, CAFFE)
    rng = np.random.default_rng(0)
    params = jax.jit(model.init)(jax.random.key(0), blank_batch(64))["params"]
    params = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32) / 10, params)
    image = rng.integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    click, predict = prepare_click(model, params, image), jax.jit(partial(predict_step, model=model))
    seen = []
    for label in (0, 1):
        annotation = np.full((1, HEIGHT, WIDTH), UNKNOWN, np.uint8)
        annotation[0, 5:9, 5:30] = 1 - label
        annotation[0, 30, 40] = label
        episode = blank_batch(64)._replace(
            query=image,
            query_size=np.array([[HEIGHT, WIDTH]], np.int32),
            target=annotation,
            annotation=annotation[:, None, None],
        )
        expected = np.asarray(predict(params, episode))[:, 0]
        found = click(annotation)
        assert found.dtype == np.uint8 and found.shape == (1, HEIGHT, WIDTH)
        assert (found != expected).mean() < 0.01  # ties, by rounding
        seen.append(found)
    assert (seen[0] != seen[1]).any()


def test_medians_and_ratio_by_hand(monkeypatch):
    # Passes of 10, 20 and 60 ms; each is followed by clicks by map of which the median is 1, 4 and 2 ms, and by clicks
    # in a session of which it is 0.5, 2 and 2 ms.
    rounds = [[10, 1, 1, 1, 9, 0.5], [20, 4, 4, 4, 4, 4], [60, 0.5, 1, 2, 3, 4]]
    sessions = [[0.25, 0.5, 0.5, 0.5, 8], [2] * 5, [1, 2, 2, 2, 3]]
    times = iter([each for one, other in zip(rounds, sessions, strict=True) for each in (*one, *other)])
    monkeypatch.setattr(module, "milliseconds", lambda *_: float(next(times)))
    monkeypatch.setattr(module, "_build", lambda *_: lambda annotation: annotation)
    assert measure_click(ModelConfig(**TINY), HEIGHT, WIDTH, rounds=3) == {
        "update_ms": 3.0,
        "session_ms": 2.0,
        "whole_pass_ms": 20.0,
        "update_min_ms": 0.5,
        "session_min_ms": 0.25,
        "whole_pass_min_ms": 10.0,
        "ratio": 10.0,
        "session_ratio": 20.0,
        "height": HEIGHT,
        "width": WIDTH,
        "rounds": 3,
    }
    times = iter([10, 30])
    unguided = measure_click(ModelConfig(**TINY, fusion="none", inference="direct"), HEIGHT, WIDTH, rounds=2)
    assert (unguided["update_ms"], unguided["whole_pass_ms"], unguided["ratio"]) == (None, 20.0, None)
    assert (unguided["session_ms"], unguided["session_min_ms"], unguided["session_ratio"]) == (None, None, None)


class Noting:
    """A session that only notes what is done."""

    def __init__(self, *_):
        self.clicks, self.undone = [], 0
        NOTED.append(self)

    def add(self, name, image):
        self.shape = image.shape

    def click(self, name, *click):
        self.clicks.append(click)

    def undo(self):
        self.undone += 1
        self.clicks.pop()

    def mask(self, name):
        return np.zeros(self.shape[:2], np.uint8)


NOTED = []


def test_a_click_in_a_session_moves_the_last_one_so_that_none_has_more_to_do_than_the_first(monkeypatch):
    monkeypatch.setattr(module, "Session", Noting)
    model, image = Segmentor(ModelConfig(**TINY, way=3), CAFFE), np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    click = prepare_session_click(model, {}, image)
    session, last = NOTED[-1], []
    assert len(session.clicks) == 5 * 3  # as many a label as `POINTS`
    kept = session.clicks[:-1]
    for number in range(1, 40):
        assert click(None).shape == (1, HEIGHT, WIDTH)
        assert session.undone == number and session.clicks[:-1] == kept
        last.append(session.clicks[-1])
    rows, columns, labels = np.array(last).T
    assert 0 <= rows.min() < 5 and HEIGHT - 5 <= rows.max() < HEIGHT
    assert 0 <= columns.min() < 5 and WIDTH - 5 <= columns.max() < WIDTH and set(labels) == {0, 1, 2}


def test_the_command(tmp_path, capsys):
    fields = [f"--config.model.{name}={value}" for name, value in TINY.items()]
    main(["x", *fields, f"--size={HEIGHT}x{WIDTH}", "--rounds=1", f"--workdir={tmp_path / 'out'}"])
    assert f"at {HEIGHT}x{WIDTH}: " in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "click.json").read_text())
    assert written["ratio"] == pytest.approx(written["whole_pass_ms"] / written["update_ms"], rel=1e-6)
    assert written["session_ratio"] == pytest.approx(written["whole_pass_ms"] / written["session_ms"], rel=1e-6)
    assert 0 < written["session_min_ms"] <= written["session_ms"]
    assert written["model"]["backbone"] == "vgg-tiny" and written["environment"]["devices"]
    for words, message in (
        (["--size=480"], "--size=480: expects height x width in pixels, as 480x854"),
        (["--rounds=0"], "--rounds=0: at least 1"),
        (["--config.model.fusion=none"], "model.inference=direct"),
    ):
        with pytest.raises(UserError, match=message):
            main(["x", *fields, *words])
