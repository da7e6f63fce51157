"""Whatever files hold: read, or a DatasetError of one line; never another exception, a crash or a file elsewhere."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data_pipelines.datasets.coco import read_coco
from data_pipelines.datasets.coco_checks import check_content, read_json
from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.datasets.reading.class_names import read_class_names
from data_pipelines.datasets.reading.files import read_labels
from data_pipelines.datasets.reading.images import read_image
from data_pipelines.datasets.reading.masks import READINGS, read_coded, survey
from data_pipelines.datasets.reading.orientation import survey_orientation
from data_pipelines.datasets.record import DatasetError, decode_image
from data_pipelines.datasets.voc import list_names
from data_pipelines.safe_paths import join, safe_path
from data_pipelines.selection.lists import read_lists
from tests.data_pipelines.bad_inputs.originals import SIDE, SQUARE, coco_content, disc, make_coco, photo

fuzz = settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))

NUMBERS = st.one_of(
    st.integers(-3, 700), st.sampled_from([1e18, -1e18, 1e300, float("nan"), float("inf"), 10**30, 0.5, True, 2**63])
)
SCALARS = st.one_of(st.none(), NUMBERS, st.text(max_size=6), st.sampled_from(["1", "../x", "/etc/passwd", "1.jpg"]))
VALUES = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=8) | st.dictionaries(st.text(max_size=4), each, max_size=3),
    max_leaves=12,
)
POLYGONS = st.lists(st.lists(NUMBERS | st.just(4), min_size=0, max_size=12), max_size=3)
RUNS = st.fixed_dictionaries(
    {}, optional={"size": st.just([SIDE, SIDE]) | VALUES, "counts": st.lists(NUMBERS) | st.text(max_size=20) | VALUES}
)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


@contextlib.contextmanager
def one_line():
    """Lets a DatasetError pass, if it is a line."""
    try:
        yield
    except DatasetError as error:
        assert str(error) and "\n" not in str(error)


def mutate(data: st.DataObject, content: bytes) -> bytes:
    """Changes, cuts, doubles or inserts some bytes."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        what = data.draw(st.sampled_from(["set", "cut", "remove", "insert", "header"]))
        if what == "cut":
            del content[place:]
        elif what == "remove":
            del content[place : place + data.draw(st.integers(1, 40))]
        elif what == "insert":
            content[place:place] = data.draw(st.binary(max_size=12))
        elif content:
            content[place % 64 % len(content) if what == "header" else place] = data.draw(st.integers(0, 255))
    return bytes(content)


def encode(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@fuzz
@given(st.data())
def test_coco_json_with_fields_of_anything(folder, data):
    content = coco_content()
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(sorted(content)))
        if data.draw(st.integers(0, 9)) == 0 or not isinstance(content[where], list) or not content[where]:
            content[where] = data.draw(VALUES)
            continue
        entry = data.draw(st.sampled_from(content[where]))
        if not isinstance(entry, dict) or not entry:
            continue
        field = data.draw(st.sampled_from(sorted(entry)))
        entry[field] = data.draw(POLYGONS | RUNS if field == "segmentation" else VALUES)
    check_coco(folder, json.dumps(content).encode())


@fuzz
@given(st.data())
def test_coco_json_of_changed_bytes(folder, data):
    check_coco(folder, mutate(data, json.dumps(coco_content()).encode()))


def check_coco(folder: Path, encoded: bytes) -> None:
    root = folder / "coco"
    if not root.exists():
        make_coco(folder, b"")
    path = root / "annotations" / "instances_train2017.json"
    path.write_bytes(encoded)
    for skip in (False, True):
        with one_line():
            checked = check_content(read_json(path), path, root / "train2017", skip_broken=skip)
            classes = {each["id"]: number for number, each in enumerate(checked.categories, start=1)}
            for image in checked.images.values():
                if (root / "train2017" / image["file_name"]).is_file():
                    read_coco(root / "train2017", image, checked.annotations.get(image["id"], []), classes)


@fuzz
@given(st.data())
def test_images_and_masks_of_changed_bytes(folder, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "WEBP", "GIF"]))
    mode = data.draw(st.sampled_from(["RGB", "L", "P", "RGBA", "1", "I;16", "LA"]))
    image = photo(9, 11) if mode == "I;16" else photo(9, 11).convert(mode)
    image = Image.fromarray(np.arange(99, dtype=np.uint16).reshape(9, 11)) if mode == "I;16" else image
    path = folder / data.draw(st.sampled_from(["a.png", "a.jpg", "a.bmp"]))
    try:
        encoded = encode(image, kind)
    except OSError:  # a kind that has no such mode
        encoded = encode(image, "PNG") if mode != "I;16" else b""
    path.write_bytes(mutate(data, encoded))
    with one_line():
        content, size = read_image(path)
        assert decode_image(content).shape[:2] == size
    with one_line():
        read_labels(path)
    with one_line():
        survey_orientation([(path, path)], data.draw(st.sampled_from(["", "upright", "stored"])))
    with one_line():
        coding = survey([path], data.draw(st.sampled_from(["", *READINGS])))
        assert read_coded(path, coding).dtype == np.uint8


@fuzz
@given(st.data())
def test_masks_of_any_values(folder, data):
    masks = []
    for number in range(data.draw(st.integers(1, 3))):
        low, high = data.draw(st.integers(0, 255)), data.draw(st.integers(0, 255))
        mask = disc(low, high)
        for _ in range(data.draw(st.integers(0, 3))):
            row, value = data.draw(st.integers(0, SIDE - 1)), data.draw(st.integers(0, 255))
            mask[row : row + data.draw(st.integers(1, 9)), : data.draw(st.integers(1, SIDE))] = value
        if data.draw(st.booleans()):
            mask = np.array(Image.fromarray(mask).resize((SIDE // 2, SIDE // 2)).resize((SIDE, SIDE)))
        path = folder / f"{number}.png"
        Image.fromarray(mask).save(path)
        masks.append((path, mask))
    for reading in ("", "labels", "object"):
        with one_line():
            coding = survey([path for path, _ in masks], reading)
            for path, mask in masks:
                layer = read_coded(path, coding)
                assert layer.shape == mask.shape
                if reading == "labels":
                    np.testing.assert_array_equal(layer, mask)
                if not reading and set(np.unique(layer)) != {255}:
                    # Labels stay, or there is one object: nothing turns into a third thing.
                    assert set(np.unique(layer)) <= {0, 1} or (layer == mask).all()


LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ["2007_000001", "/JPEGImages/a.jpg /SegmentationClassAug/a.png", "a__01", "a__00", "a__999", "1 x"]
        ),
    ),
    max_size=5,
)


@fuzz
@given(LINES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]), st.data())
def test_lists_of_any_lines(folder, lines, encoding, data):
    content = "\n".join(lines).encode(encoding, errors="replace")
    content = mutate(data, content) if data.draw(st.booleans()) else content
    for name, read in (
        ("train.txt", lambda path: list_names(path, folder)),
        ("tasks.txt", lambda path: read_lists(str(path))),
        ("classes.txt", lambda path: read_class_names(path, [1, 2])),
        ("classes.json", lambda path: read_class_names(path, [1, 2])),
    ):
        (folder / name).write_bytes(content)
        with one_line():
            read(folder / name)


@fuzz
@given(VALUES)
def test_names_of_any_json(folder, value):
    (folder / "labels.json").write_text(json.dumps(value))
    with one_line():
        names = read_class_names(folder / "labels.json", [1, 2])
        assert len(names) >= 2 and all(isinstance(name, str) for name in names)


@fuzz
@given(
    st.text(max_size=40) | st.from_regex(r"(folder|voc)@?['\"]?[a-z,:*@ ]{0,9}['\"]?:all(:[a-z=]{0,12})?(\*.{0,4})?")
)
def test_sources_of_any_text(text):
    with one_line():
        parse_sources(text)


@fuzz
@given(
    st.text(max_size=300) | st.lists(st.sampled_from(["..", ".", "", "a", "é" * 60, "\0"]), max_size=6).map("/".join)
)
def test_names_of_any_text_stay_in_the_folder(folder, name):
    path = safe_path(folder, name, ".png")
    assert path.resolve().is_relative_to(folder.resolve()) and path.name.endswith(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    path.unlink()
    with one_line():
        assert join(folder, name).resolve().is_relative_to(folder.resolve())


def test_the_square_of_the_fuzz_is_drawn(folder):
    """Else the fuzz would draw nothing."""
    root = make_coco(folder, coco_content())
    path = root / "annotations" / "instances_train2017.json"
    checked = check_content(read_json(path), path, root / "train2017", skip_broken=False)
    record = read_coco(root / "train2017", checked.images["1.jpg"], checked.annotations[1], {3: 1, 5: 2})
    assert record.segments[0].area == 64 and len(SQUARE) == 8
