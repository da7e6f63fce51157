"""The benchmark of the scores: that both forms give the same, and that it counts what it says."""

import json

import numpy as np
import pytest

from experiments.benchmarks.score import main, measure_scoring, noise, ovals, score_plainly
from experiments.settings.errors import UserError
from guided_jax.scoring.davis import score_frame


@pytest.mark.parametrize("draw", [ovals, noise])
@pytest.mark.parametrize("objects", [1, 3])
def test_both_forms_agree(draw, objects):
    truth, found = draw(50, 70, objects)
    assert truth.max() == found.max() == objects
    ours = score_frame(found, truth, objects)
    np.testing.assert_allclose(ours, score_plainly(found, truth, objects), atol=1e-12)
    assert ((ours > 0.2) & (ours < 1)).any()


def test_the_plain_form_of_what_is_empty():
    truth, found = np.zeros((2, 9, 9), np.uint8)
    truth[2:5, 2:5], found[6, 6] = 1, 2
    np.testing.assert_array_equal(score_plainly(found, truth, 3), [[0, 0], [0, 0], [1, 1]])


def test_times_are_of_an_object_in_a_frame():
    times = measure_scoring(30, 40, 2, rounds=3)
    assert (times["height"], times["width"], times["number"], times["rounds"]) == (30, 40, 2, 3)
    for name in ("objects", "whole"):
        assert times[name]["ms"] > 0 and times[name]["plain_ms"] > 0 and times[name]["ratio"] > 0


def test_main_writes_what_it_prints(tmp_path, capsys):
    main(["score", "--size=30x40", "--objects=1", "--rounds=1", f"--workdir={tmp_path / 'new'}"])
    times = json.loads((tmp_path / "new/score.json").read_text())
    printed = capsys.readouterr().out
    assert f"objects as drawn: {times['objects']['ms']:.2f} ms an object in a frame of 30x40" in printed
    assert "code" in times["environment"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--size=30", "--size=30: expects height x width"),
        ("--size=0x9", "--size=0x9: expects height x width"),
        ("--objects=0", "--objects=0: from 1 to 254"),
        ("--rounds=0", "--rounds=0: at least 1"),
        ("--round=3", r"--round: no such flag; did you mean rounds\?"),
        ("extra", "'extra': a flag was expected"),
    ],
)
def test_wrong_use(word, message):
    with pytest.raises(UserError, match=message):
        main(["score", word])
