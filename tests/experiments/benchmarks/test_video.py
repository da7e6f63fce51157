"""The benchmarks of videos and of input: what is timed is what they say."""

import json
import subprocess

import numpy as np
import pytest

from experiments.benchmarks import all as everything
from experiments.benchmarks import input as module
from experiments.benchmarks import video
from experiments.settings.errors import UserError

torch = pytest.importorskip("torch", reason="PyTorch is measured against: pip install 'guided_jax[test]'")


def test_the_mask_is_that_of_the_disc():
    images, mask = video.draw_clip(3, 40, 60)
    assert len(images) == 3 and images[0].shape == (40, 60, 3)
    red = (images[0] == (220, 40, 40)).all(-1)
    np.testing.assert_array_equal(red, mask == 1)
    assert 80 < red.sum() < 200 and not np.array_equal(images[0], images[2])


def test_every_frame_is_encoded_and_written(monkeypatch, tmp_path):
    monkeypatch.setattr("experiments.benchmarks.torch_guided.STAGES", ((2,), (2,)))
    images, mask = video.draw_clip(3, 40, 60)
    encoded = video.torch_encoders(images)
    assert set(encoded) == {"float32", "bfloat16"}
    for encode in encoded.values():
        encode()

    class Segmentor:
        def guide(self, frames, annotation, *, way):
            np.testing.assert_array_equal(frames[0], images[0])
            assert annotation.shape == (1, 1, 40, 60) and way == 2

        def segment(self, guidance, frames):
            return (np.full((1, 40, 60), number, np.uint8) for number, _ in enumerate(frames))

    written = []
    video._segment(Segmentor(), images, mask, write=lambda number, labels: written.append((number, labels.max())))
    assert written == [(0, 0), (1, 1), (2, 2)]


def test_input_of_generated_images(prepared, tmp_path, capsys):
    fields = ["--config.data.train=generated:val:instance", f"--config.data.prepared={prepared}"]
    words = [*fields, "--config.train.batch_size=2", "--workers=0", "--batches=3", f"--workdir={tmp_path}"]
    module.main(["input", *words])
    found = json.loads((tmp_path / "input.json").read_text())
    (row,) = found["rows"]
    assert row["workers"] == 0 and row["share"] == pytest.approx(row["episodes_per_second"] / found["limit"])
    assert "threads:" in capsys.readouterr().out


def test_all_go_on_where_they_were_stopped(tmp_path, monkeypatch, capsys):
    """What is there is not measured again; what fails is named, and what was measured is kept."""
    (tmp_path / "video.json").write_text('{"rows": 1}')
    asked = []

    def run(words, *, check):
        asked.append(words[4])
        (tmp_path / f"{words[4]}.json").write_text("{}") if words[4] != "scale" else None
        return subprocess.CompletedProcess(words, int(words[4] == "scale"))

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match="failed: scale; the same command runs them again"):
        everything.main(["all", f"--workdir={tmp_path}"])
    assert asked == ["train", "click", "input", "score", "scale"]
    found = json.loads((tmp_path / "performance.json").read_text())
    assert found == {"video": {"rows": 1}, "train": {}, "click": {}, "input": {}, "score": {}}
    with pytest.raises(UserError, match="--only=page: there are train, click, video, input, score, scale"):
        everything.main(["all", f"--workdir={tmp_path}", "--only=train,page"])
    with pytest.raises(UserError, match="--workdir=DIR is missing"):
        everything.main(["all"])
