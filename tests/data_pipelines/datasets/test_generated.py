from pathlib import Path

import numpy as np
import pytest

from data_pipelines.datasets import generated
from data_pipelines.datasets.built import open_split
from data_pipelines.datasets.generated import AREA, OBJECTS, SHAPES, SIZE, TEXTURES, VISIBLE, Generated, pairs, render
from data_pipelines.datasets.record import decode_image, decode_layer, to_record
from guided_jax.episode import UNKNOWN

SCENES = 60


@pytest.fixture(scope="module")
def scenes():
    return [render(7, number) for number in range(SCENES)]


def test_a_scene_is_a_function_of_seed_number_and_split_alone():
    first = render(3, 5)
    np.random.default_rng(0).random()
    np.random.seed(1)  # noqa: NPY002
    for a, b in zip(first, render(3, 5), strict=True):
        np.testing.assert_array_equal(a, b)
    for other in (render(3, 6), render(4, 5), render(3, 5, "val"), render(3, 5, "test")):
        assert not np.array_equal(first[0], other[0])
        assert not np.array_equal(first[1], other[1])


def test_the_scenes_are_those_of_the_published_results():
    """Any other constant, texture or order of draws would make another data set of the same name."""
    assert generated.SPLITS == {"train": 2000, "val": 100, "test": 200} and Generated.SEED == 0
    for (split, number), (classes, areas, pixels) in PUBLISHED.items():
        image, layer, found = render(Generated.SEED, number, split)
        assert list(found.values()) == classes and np.bincount(layer.ravel()).tolist() == areas
        np.testing.assert_allclose(image[8::40, 8::40].reshape(-1, 3), pixels, atol=1)


PUBLISHED = {
    ("train", 3): (
        [5, 6, 3, 3], [4510, 911, 1324, 1143, 1328],
        [[60, 39, 12], [68, 0, 94], [81, 169, 126], [226, 188, 138], [142, 37, 168], [203, 124, 35], [237, 172, 101],
         [241, 169, 103], [209, 72, 136]],
    ),
    ("val", 1): (
        [6, 5, 2, 6], [4807, 986, 1018, 1069, 1336],
        [[101, 59, 56], [170, 66, 42], [178, 87, 58], [21, 111, 108], [164, 168, 21], [13, 190, 39], [150, 13, 127],
         [202, 58, 176], [211, 62, 200]],
    ),
    ("test", 2): (
        [1, 3, 1], [6174, 1071, 851, 1120],
        [[122, 27, 97], [72, 54, 183], [58, 52, 204], [182, 28, 127], [63, 57, 58], [200, 75, 139], [180, 123, 180],
         [49, 189, 165], [210, 72, 163]],
    ),
}  # fmt: skip
"""Of some scenes the classes, the areas of background and objects, and every 40th pixel."""


def test_objects_are_several_large_and_of_like_size(scenes):
    numbers = [len(classes) for *_, classes in scenes]
    assert {min(numbers), max(numbers)} == set(OBJECTS)
    for image, layer, classes in scenes:
        assert image.shape == (SIZE, SIZE, 3)
        assert UNKNOWN not in layer
        shares = np.bincount(layer.ravel())[1:] / layer.size
        assert len(shares) == len(classes)
        assert shares.min() >= VISIBLE * AREA[0]
        assert shares.max() <= 1.15 * AREA[1]  # the rim's own pixels come on top


def test_predicting_every_object_scores_below_two_fifths(scenes):
    hits = sum(int((layer > 0).sum()) for _, layer, _ in scenes)
    unions = sum(int((layer > 0).sum()) * len(classes) for _, layer, classes in scenes)
    assert hits / unions < 0.4


def test_most_scenes_have_an_object_behind_another(monkeypatch):
    outline, outlines = generated._outline, []
    monkeypatch.setattr(generated, "_outline", lambda *args: outlines.append(outline(*args)) or outlines[-1])
    hidden = []
    for number in range(40):
        _, layer, classes = render(7, number)
        whole = np.array([mask.sum() for mask in outlines[-len(classes) :]])
        visible = np.bincount(layer.ravel())[1:]
        assert visible[-1] == whole[-1]
        hidden.append(1 - (visible / whole).min())
    assert np.mean(np.array(hidden) > 0.05) > 0.6


def test_background_is_as_bright_and_as_busy_as_the_objects(scenes):
    """Neither colour nor texture statistics tell objects from background."""
    images = np.stack([image for image, *_ in scenes]).astype(float)
    masks = np.stack([layer > 0 for _, layer, _ in scenes])
    spread = images.max(-1) - images.min(-1)
    edges = np.abs(np.diff(images.mean(-1), axis=2, append=0))
    for statistic in (images.mean(-1), spread, edges):
        on, off = statistic[masks].mean(), statistic[~masks].mean()
        assert abs(on - off) < 0.2 * max(on, off)


def test_objects_of_one_scene_differ_in_hue(scenes):
    for image, layer, classes in scenes:
        means = np.stack([image[layer == value].mean(0) for value in classes])
        chroma = means - means.mean(1, keepdims=True)
        distances = np.linalg.norm(chroma[:, None] - chroma, axis=2)
        assert distances[np.triu_indices(len(classes), 1)].min() > 15


def test_shapes_and_textures_repeat_between_objects_but_no_pair_between_train_and_test():
    train, test = set(pairs(held_out=False)), set(pairs(held_out=True))
    assert len(train) == 24
    assert len(test) == 12
    assert not train & test
    for each in (train, test):
        assert {shape for shape, _ in each} == set(SHAPES)
        assert {texture for _, texture in each} == set(TEXTURES)


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("val", False), ("test", True)])
def test_only_the_test_split_is_made_of_the_held_out_pairs(monkeypatch, split, held_out):
    """With a texture for each pair of its own, what is painted on the objects shows the pairs that were drawn."""
    drawn = []
    outline, paint = generated._outline, generated._paint
    monkeypatch.setattr(
        generated, "_outline", lambda rng, shape, *rest: drawn.append(shape) or outline(rng, shape, *rest)
    )
    monkeypatch.setattr(
        generated,
        "_paint",
        lambda rng, canvas, region, texture, hue: drawn.append(texture) or paint(rng, canvas, region, texture, hue),
    )
    for number in range(5):
        drawn.clear()
        *_, classes = render(0, number, split)
        shapes = [list(SHAPES)[classes[value] - 1] for value in sorted(classes)]
        textures = drawn[-len(shapes) :]
        assert set(shapes) <= set(drawn)
        assert set(zip(shapes, textures, strict=True)) <= set(pairs(held_out=held_out))


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_have_the_area_that_was_asked_for(shape):
    """A ring's hole is not counted, and no shape is larger than another."""
    rng = np.random.default_rng(0)
    areas = [generated._outline(rng, shape, 1000.0, 400).sum() for _ in range(60)]
    assert 1000 <= np.median(areas) < 1180
    if shape == "ring":
        mask = generated._outline(rng, shape, 20_000.0, 600)
        rows, columns = np.nonzero(mask)
        assert not mask[int(rows.mean()), int(columns.mean())]


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_mix_two_colours(texture):
    y, x = np.indices((60, 60)).reshape(2, -1) / 8.0
    share = TEXTURES[texture](np.random.default_rng(0), y, x)
    assert share.min() >= 0
    assert share.max() <= 1
    assert 0.25 < share.mean() < 0.75
    assert share.std() > 0.2


def test_size_is_free():
    image, layer, classes = render(0, 0, size=40)
    assert image.shape == (40, 40, 3)
    assert set(np.unique(layer)) == {0, *classes}


def test_reads_back_what_was_rendered_pixel_for_pixel(tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "SPLITS", {"train": 4, "val": 2, "test": 3})
    builder = Generated(data_dir=str(tmp_path))
    builder.download_and_prepare()
    assert list(builder.info.metadata["class_names"]) == list(SHAPES)
    for split, count in generated.SPLITS.items():
        source = open_split(Path(builder.data_dir), split)
        assert len(source) == count
        for number in range(count):
            record = to_record(source[number])
            image, layer, classes = render(Generated.SEED, number, split)
            assert record.image_id == f"{split}-{number:05d}"
            assert (record.height, record.width) == (SIZE, SIZE)
            np.testing.assert_array_equal(decode_image(record.image), image)
            np.testing.assert_array_equal(decode_layer(record.layers[0]), layer)
            assert {segment.value: segment.class_id for segment in record.segments} == classes
            assert [segment.instance for segment in record.segments] == sorted(classes)
            for segment in record.segments:
                assert segment.area == (layer == segment.value).sum()


def test_every_class_is_in_several_images_of_every_split():
    for split, count in generated.SPLITS.items():
        seen = [set(render(Generated.SEED, number, split)[2].values()) for number in range(min(count, 40))]
        for class_id in range(1, len(SHAPES) + 1):
            assert sum(class_id in classes for classes in seen) >= 5


def test_changed_code_is_built_anew():
    assert Generated(only="val")._inputs("val") == [Path(generated.__file__)]
