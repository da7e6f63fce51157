"""Small data sets, built for real through tfds, whose masks are rectangles that can be checked by hand."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.built import open_split
from data_pipelines.datasets.record import Record, encode_layer, find_segments
from data_pipelines.datasets.sources import Split

CIRCLE, SQUARE, RARE = 1, 2, 3
STILLS = 12


def _record(image_id, layers, instances, *, seed, video="", frame=0):
    """Instances maps each layer to the classes of its values; None is a layer of classes."""
    height, width = layers[0].shape
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    segments = []
    for index, (layer, class_of) in enumerate(zip(layers, instances, strict=True)):
        segments += find_segments(layer, index, class_of, instances=class_of is not None)
    return Record(
        image_id=image_id,
        video=video,
        frame=frame,
        height=height,
        width=width,
        image=cv2.imencode(".png", image)[1].tobytes(),
        layers=tuple(encode_layer(layer) for layer in layers),
        segments=tuple(segments),
    )


class Stills(RecordBuilder):
    """Layer 0: classes under a void row; layer 1 and 2: instances of SQUARE that overlap (none of the others)."""

    VERSION = tfds.core.Version("1.0.0")

    def _class_names(self):
        return ["circle", "square", "rare"]

    def _split_names(self):
        return ["train"]

    def _records(self, split):
        for i in range(STILLS):
            size = (56, 40) if i % 3 == 0 else (40, 56)
            classes, first, second = np.zeros((3, *size), np.uint8)
            classes[0] = 255
            classes[20:34, 4:30] = SQUARE
            first[20:34, 4:20] = 1
            second[20:34, 14:30] = 2
            second[36, :] = 255
            if i % 2 == 0:
                classes[4:16, 4:20] = CIRCLE
            if i == 5:
                classes[4:8, 24:26] = RARE
            yield _record(f"still{i:02}", [classes, first, second], [None, {1: SQUARE}, {2: SQUARE}], seed=i)


class Clips(RecordBuilder):
    """Two clips of five frames: object 1 always, object 2 from frame 1 on, object 3 in frame 4 of 'wide' only."""

    VERSION = tfds.core.Version("1.0.0")

    def _class_names(self):
        return []

    def _split_names(self):
        return ["val"]

    def _records(self, split):
        for video, size in ("wide", (40, 56)), ("tall", (56, 40)):
            for frame in range(5):
                layer = np.zeros(size, np.uint8)
                layer[2:20, frame : frame + 10] = 1
                if frame:
                    layer[10:30, 20 + frame : 30 + frame] = 2
                if frame == 4 and video == "wide":
                    layer[32:36, 2:6] = 3
                seed = 100 * len(video) + frame + (video == "tall") * 50
                yield _record(f"{video}/{frame}", [layer], [{1: 0, 2: 0, 3: 0}], seed=seed, video=video, frame=frame)


class Figures(RecordBuilder):
    """Instances only, in two layers that overlap; no class region of its own."""

    VERSION = tfds.core.Version("1.0.0")

    def _class_names(self):
        return ["circle", "square"]

    def _split_names(self):
        return ["train"]

    def _records(self, split):
        for i in range(2):
            below, above = np.zeros((2, 30, 30), np.uint8)
            below[0:10, 0:10] = 1
            below[20:25, 20:25] = 2
            above[5:15, 5:15] = 3
            above[28, :] = 255
            classes = {1: CIRCLE, 2: SQUARE}, {3: CIRCLE}
            yield _record(f"figure{i}", [below, above], classes, seed=200 + i)


def _build(builder, directory: Path, split: str) -> Split:
    builder = builder(data_dir=directory)
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)
    path, names = Path(builder.data_path), tuple(builder.info.metadata["class_names"])
    return Split(f"{builder.name}/{split}", open_split(path, split), names, path, "1.0.0")


@pytest.fixture(scope="session")
def stills(tmp_path_factory) -> Split:
    return _build(Stills, tmp_path_factory.mktemp("stills"), "train")


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Split:
    return _build(Clips, tmp_path_factory.mktemp("clips"), "val")


@pytest.fixture(scope="session")
def figures(tmp_path_factory) -> Split:
    return _build(Figures, tmp_path_factory.mktemp("figures"), "train")


@pytest.fixture(scope="session")
def classes() -> SimpleNamespace:
    return SimpleNamespace(circle=CIRCLE, square=SQUARE, rare=RARE)


@pytest.fixture(scope="session")
def assert_same():
    """Compares two episodes or batches, field by field, to the bit."""

    def check(a, b, but=()):
        for name, x, y in zip(a._fields, a, b, strict=True):
            if name in but:
                continue
            assert type(x) is type(y), name
            for one, other in zip(*(each if isinstance(each, tuple) else (each,) for each in (x, y)), strict=True):
                np.testing.assert_array_equal(one, other, err_msg=name)

    return check
