"""The guides that come with the package: found by name, checked, and good on a picture that no training saw."""

import numpy as np
import pytest

import guided_jax
from guided_jax import shipped
from guided_jax.backbones.known_file import checksum
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.shipped import DEFAULT, SHIPPED, Shipped
from guided_jax.snapshots.files import write_parameters
from tests.guided_jax.small_models import small_model

MEBIBYTE = 2**20


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A small model in place of the guide that is the default."""
    model, params = small_model(3)
    path = tmp_path / "shipped" / "tiny.safetensors"
    path.parent.mkdir()
    write_parameters(path, model.config, params, CAFFE, {"name": "tiny", "step": 7}, dtype="float16")
    monkeypatch.setattr(shipped, "FOLDER", path.parent)
    monkeypatch.setitem(SHIPPED, DEFAULT, Shipped(path.name, checksum(path), "small", 40))
    return path, params


def test_by_name_and_by_default(tiny, tmp_path, monkeypatch):
    path, params = tiny
    assert guided_jax.load().about["max_side"] == 40
    for loaded in (guided_jax.load(), guided_jax.load(DEFAULT), guided_jax.load(path)):
        assert loaded.about["step"] == 7
        np.testing.assert_array_equal(
            loaded.params["neck"]["fc6"]["kernel"], np.float32(np.float16(params["neck"]["fc6"]["kernel"]))
        )
        assert loaded.params["neck"]["fc6"]["kernel"].dtype == np.float32
    # A folder of that name is a path.
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT).mkdir()
    assert guided_jax.load(DEFAULT).about["name"] == "tiny"
    with pytest.raises(ValueError, match="is not the workdir of a run"):
        guided_jax.load(f"./{DEFAULT}")


def test_sessions_and_videos_take_it_where_none_is_given(tiny):
    del tiny
    image = np.random.default_rng(0).integers(0, 256, (41, 50, 3), np.uint8)
    masks = []
    for session in (guided_jax.Session(), guided_jax.Session(guided_jax.load())):
        session.add("photo", image)
        session.click("photo", 12, 34, 1)
        session.click("photo", 30, 8, 0)
        masks.append(session.logits("photo"))
    np.testing.assert_array_equal(*masks)
    annotation = np.zeros((1, 1, 41, 50), np.uint8)
    annotation[..., 10:, 20:] = 1
    labels = [
        next(video.segment(video.guide(image[None], annotation, way=2), [image]))
        for video in (guided_jax.VideoSegmentor(), guided_jax.VideoSegmentor(guided_jax.load()))
    ]
    np.testing.assert_array_equal(*labels)


def test_a_damaged_or_missing_file_is_named(tiny):
    path, _ = tiny
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=rf"{DEFAULT}: .*tiny.safetensors is damaged: its sha256 is \w+, not \w+; ins"):
        guided_jax.load()
    path.unlink()
    with pytest.raises(ValueError, match=rf"{DEFAULT}: .*tiny.safetensors is missing; install the package again"):
        guided_jax.load()


def test_an_unknown_name_lists_them():
    with pytest.raises(ValueError, match=f"vgg16-decodr: no such file or folder; .* or a name \\({DEFAULT}"):
        guided_jax.load("vgg16-decodr")


@pytest.fixture(scope="module")
def guide():
    return guided_jax.load()


def test_the_files_are_those_that_were_shipped():
    assert DEFAULT in SHIPPED
    for name, each in SHIPPED.items():
        path = shipped.shipped_file(name)
        assert path.stat().st_size < 45 * MEBIBYTE
        card = (shipped.FOLDER / "MODEL_CARD.md").read_text("utf-8")
        assert f"`{name}`" in card and each.sha256 in card


def test_guides_across_images_share_the_trunk(guide):
    other = guided_jax.load(shipped.ACROSS_IMAGES)
    trunks = [each.params["trunk"]["conv5_3"]["kernel"] for each in (other, guide)]
    np.testing.assert_array_equal(*trunks)
    assert (other.params["neck"]["tap4"]["kernel"] != guide.params["neck"]["tap4"]["kernel"]).any()
    assert other.about["trained_on"]["mode"] == "semantic" and other.about["max_side"] == 512


def test_it_tells_what_it_is(guide):
    assert guide.config.inference == "decoder"
    assert {"trained_on", "step", "code"} <= guide.about.keys()
    assert "val" not in str(guide.about["trained_on"])


def overlap(one, other):
    return float((one & other).sum() / (one | other).sum())


def test_a_click_a_correction_and_another_picture(guide):
    """Discs and a square, which are no photographs; any guide that works at all segments them."""
    rows, columns = np.mgrid[:160, :192]
    shapes = {
        (60, 50): np.hypot(rows - 60, columns - 50) < 32,
        (90, 140): np.maximum(abs(rows - 90), abs(columns - 140)) < 30,
    }
    image = np.random.default_rng(0).normal(90, 12, (160, 192, 3))
    for shape, colour in zip(shapes.values(), ((200, 60, 40), (50, 80, 190)), strict=True):
        image[shape] += np.array(colour) - 90.0
    image = np.clip(image, 0, 255).astype(np.uint8)
    session = guided_jax.Session(guide)
    session.add("picture", image)
    for (row, column), shape in shapes.items():
        for background in ((20, 150), (140, 20)):
            session.click("picture", *background, 0)
        session.click("picture", row, column, 1)
        assert overlap(session.mask("picture") == 1, shape) > 0.6
        session.clear()
    # Both are the object; then one of them is corrected away.
    for row, column in shapes:
        session.click("picture", row, column, 1)
    overlaps = []
    for row, column in ((20, 150), (150, 60), (100, 95)):
        session.click("picture", row, column, 0)
        overlaps.append(overlap(session.mask("picture") == 1, shapes[60, 50] | shapes[90, 140]))
    assert sorted(overlaps) == overlaps and overlaps[0] > 0.5 and overlaps[-1] > 0.7
    session.unclick("picture", 90, 140)
    session.click("picture", 90, 140, 0)
    assert overlap(session.mask("picture") == 1, shapes[60, 50]) > 0.6
