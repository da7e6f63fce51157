"""Original files in miniature, and what a builder makes of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.datasets.builder import RecordBuilder
from data_pipelines.datasets.built import open_split
from data_pipelines.datasets.record import Record, decode_layer, to_record

PALETTE = [channel for value in range(256) for channel in (value, 255 - value, (value * 37) % 256)]


@pytest.fixture
def read(tmp_path) -> Callable[[type[RecordBuilder], Path, str], dict[str, Record]]:
    """Builds a split and reads it all back, by image id."""

    def read_split(builder_class, path, split):
        builder = builder_class(path=path, only=split, data_dir=str(tmp_path / "built" / split))
        builder.download_and_prepare()
        source = open_split(Path(builder.data_dir), split)
        records = [to_record(source[i]) for i in range(len(source))]
        assert len({record.image_id for record in records}) == len(records)
        return {record.image_id: record for record in records}

    return read_split


@pytest.fixture
def write_image():
    def write(path: Path, height: int, width: int, *, grey: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (height, width) if grey else (height, width, 3)
        Image.fromarray(np.random.default_rng(height).integers(0, 256, shape, np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def write_mask():
    """Writes labels as a palette PNG (whose colours are not grey), a grey one, or an RGB one."""

    def write(path: Path, mask, *, palette: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.asarray(mask, np.uint8))
        if palette:
            image.putpalette(PALETTE)  # turns the grey image into one of indices
            assert image.mode == "P"
        image.save(path)
        return path

    return write


@pytest.fixture
def check_segments():
    """Compares a record's metadata with its decoded layers, pixel by pixel."""

    def check(record: Record):
        layers = [decode_layer(layer) for layer in record.layers]
        assert all(layer.shape == (record.height, record.width) and layer.dtype == np.uint8 for layer in layers)
        described = {(segment.layer, segment.value) for segment in record.segments}
        present = {(i, int(v)) for i, layer in enumerate(layers) for v in np.unique(layer) if v not in (0, 255)}
        assert described == present and len(described) == len(record.segments)
        for segment in record.segments:
            rows, columns = np.nonzero(layers[segment.layer] == segment.value)
            assert segment.area == len(rows)
            assert segment.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)

    return check
