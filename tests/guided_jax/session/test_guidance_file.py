"""Guidance in files: other images are segmented to the bit as beside the annotated images, and by that model alone."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from guided_jax.backbones.preprocessing import TORCHVISION
from guided_jax.episode import UNKNOWN
from guided_jax.session import Session
from guided_jax.session.guidance_file import KEY, fingerprint
from tests.guided_jax.session.small_sessions import KINDS, PICTURES, opened, session_of
from tests.guided_jax.small_models import small_model

GUIDED = ["prototypes", "neighbours", "binary", "early"]


def annotated(kind):
    """Three annotated images of two sizes and two objects, and one that is not."""
    session = session_of(kind, "a", "b", 3)
    session.add_object("dog")
    assert session.add_object("cat") == 2
    session.click("a", 1, 2, 1)
    session.click("a", 7, 9, 0)
    session.scribble("b", [(1, 1), (6, 8)], 2, 3)
    session.click(3, 6, 4, 1)
    session.add("query", PICTURES["b"][::-1])
    return session


@pytest.mark.parametrize("kind", GUIDED)
def test_other_images_are_segmented_without_the_annotated_ones(kind, tmp_path):
    session, path = annotated(kind), tmp_path / "guidance.safetensors"
    session.save_guidance(path)
    other = session_of(kind)
    other.load_guidance(path)
    other.add("query", PICTURES["b"][::-1])
    assert other.objects == {1: "dog", 2: "cat"} and other.way == 3
    np.testing.assert_array_equal(other.logits("query"), session.logits("query"))
    np.testing.assert_array_equal(other.mask("query"), session.mask("query"))
    other.save_guidance(tmp_path / "again.safetensors")
    first, second = load_file(path), load_file(tmp_path / "again.safetensors")
    assert first.keys() == second.keys() and len(first) >= 9
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    before = other.logits("query")
    other.click("query", 3, 3, 1)  # beside the loaded guidance
    assert (other.logits("query") != before).any()
    other.undo()
    np.testing.assert_array_equal(other.logits("query"), before)
    other.drop_guidance()
    blank = session_of(kind, way=3)
    blank.add("query", PICTURES["b"][::-1])
    np.testing.assert_array_equal(other.logits("query"), blank.logits("query"))
    assert (before != blank.logits("query")).any()


@pytest.mark.parametrize("kind", GUIDED)
def test_guidance_of_parts_is_that_of_all(kind, tmp_path):
    """Each image in a session of its own, with objects in another order; the files are loaded one after the other."""
    session, parts = annotated(kind), session_of(kind)
    parts.add_object("dog")
    parts.add_object("cat")
    marks = {"a": lambda part, dog, cat: (part.click("a", 1, 2, dog), part.click("a", 7, 9, 0))}
    marks["b"] = lambda part, dog, cat: part.scribble("b", [(1, 1), (6, 8)], cat, 3)
    marks[3] = lambda part, dog, cat: part.click(3, 6, 4, dog)
    for name, mark in marks.items():
        part, path = session_of(kind, name), tmp_path / f"{name}.safetensors"
        cat, dog = part.add_object("cat"), part.add_object("dog")
        assert (cat, dog) == (1, 2)
        mark(part, dog, cat)
        part.save_guidance(path)
        parts.load_guidance(path)
    parts.add("query", PICTURES["b"][::-1])
    wanted = session.logits("query")
    np.testing.assert_allclose(parts.logits("query"), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", ["prototypes", "neighbours"])
def test_an_object_more_is_not_annotated_in_loaded_guidance(kind, tmp_path):
    session = annotated(kind)
    session.save_guidance(tmp_path / "a.safetensors")
    other = session_of(kind)
    other.load_guidance(tmp_path / "a.safetensors")
    assert other.add_object("bird") == 3
    session.add_object("bird")
    for each in (session, other):
        if each is other:
            each.add("query", PICTURES["b"][::-1])
        each.click("query", 2, 2, 3)
    wanted = session.logits("query")
    np.testing.assert_allclose(other.logits("query"), wanted, atol=1e-5 * np.abs(wanted).max())
    assert len(wanted) == 4


def test_what_tells_a_model():
    model, params = small_model(**KINDS["binary"])
    name = fingerprint(model, params)
    assert name == fingerprint(*small_model(**KINDS["binary"])) and len(name) == 64
    others = [small_model(1, **KINDS["binary"]), small_model(**{**KINDS["binary"], "pooling": "maximum"})]
    changed = {**params, "head": {**params["head"]}}
    first = next(iter(changed["head"]))
    changed["head"][first] = {**changed["head"][first], "bias": changed["head"][first]["bias"] + 1e-3}
    others += [(model, changed), (dataclasses.replace(model, preprocessing=TORCHVISION), params)]
    assert model.preprocessing != TORCHVISION
    assert len({name, *(fingerprint(*other) for other in others)}) == 5


def test_guidance_of_another_model_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    annotated("prototypes").save_guidance(path)
    other = opened("prototypes", seed=1).fresh()
    other.add("a", PICTURES["a"])
    before = other.logits("a")
    with pytest.raises(ValueError, match="its guidance cannot be taken: it is of another model; guidance is"):
        other.load_guidance(path)
    with pytest.raises(ValueError, match="the other session is on another model; sessions of one model can be merged"):
        other.merge(annotated("prototypes"))
    np.testing.assert_array_equal(other.logits("a"), before)
    assert other.objects == {} and other.names == ("a",)
    same_model = Session(*small_model(**KINDS["prototypes"]))
    same_model.load_guidance(path)
    assert same_model.objects == {1: "dog", 2: "cat"}
    blank, anew = opened("prototypes").fresh(), same_model.fresh()
    for session in (blank, anew, same_model):
        session.add("a", PICTURES["a"])
    np.testing.assert_array_equal(anew.logits("a"), blank.logits("a"))
    assert (same_model.logits("a")[:2] != blank.logits("a")).any()


def test_what_is_refused(tmp_path):
    session = session_of("prototypes", "a")
    nothing = "there is no guidance to write: no image is annotated"
    with pytest.raises(ValueError, match=nothing):
        session.save_guidance(tmp_path / "a.safetensors")
    session.scribble("a", [(1, 1), (3, 3)], 1, 2)
    session.scribble("a", [(1, 1), (3, 3)], UNKNOWN, 4)  # takes away all that was drawn
    with pytest.raises(ValueError, match=nothing):
        session.save_guidance(tmp_path / "a.safetensors")
    session.click("a", 1, 1, 1)
    with pytest.raises(ValueError, match=r"a\.npz: the name must end in \.safetensors"):
        session.save_guidance(tmp_path / "a.npz")
    for kind in ("local", "stacked"):
        other = session_of(kind, "a")
        other.click("a", 1, 1, 1)
        for call in (other.save_guidance, other.load_guidance):
            with pytest.raises(ValueError, match=r"guidance (for|of) other images: mode=video: model"):
                call(tmp_path / "a.safetensors")
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(ValueError, match="no such file"):
        session.load_guidance(tmp_path / "a.safetensors")
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: holds no guidance \(its metadata lack guided_jax\.guidance"):
        session.load_guidance(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"a\.safetensors: "):
        session.load_guidance(tmp_path / "a.safetensors")


def test_damaged_files(tmp_path):
    session, path = annotated("neighbours"), tmp_path / "a.safetensors"
    session.save_guidance(path)
    arrays = load_file(path)
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()[KEY])
    other = session_of("neighbours", "a")

    def refused(message, arrays=arrays, **changes):
        save_file(arrays, path, metadata={KEY: json.dumps({**about, **changes})})
        with pytest.raises(ValueError) as error:
            other.load_guidance(path)
        assert message in str(error.value) and "\n" not in str(error.value)

    refused("it is of version 2, and this one reads version 1", version=2)
    for objects in ([[0, "x"]], [["1", "x"]], [[1, "x"], [2, "x"]], [[1, "x"], [1, "y"]], [[1, None]]):
        refused("its objects must be labels, 1 to 254, and names, none of them twice", objects=objects)
    refused("its guidance cannot be taken", objects=3)
    unfit = "its arrays total, mass, points, features, weights do not fit each other or the model"
    refused(unfit, {**arrays, "0/0/mass": arrays["0/0/mass"][:, :1]})
    refused(unfit, {**arrays, "1/0/total": arrays["1/0/total"][..., :1]})
    refused(unfit, {**arrays, "1/0/total": arrays["1/0/total"][0, 0, :1]})
    refused(unfit, {**arrays, "2/0/more": arrays["2/0/mass"]})
    for name in ("features", "points", "total", "weights"):
        refused(unfit, {k: v for k, v in arrays.items() if k != f"0/0/{name}"})
    refused("its guidance cannot be taken", {**arrays, "x": arrays["0/0/mass"]})
    refused("its tasks are not those of the model", {k.replace("/0/", "/1/"): v for k, v in arrays.items()})
    refused("NaN or infinity", {**arrays, "0/0/mass": np.full_like(arrays["0/0/mass"], np.nan)})
    assert other.objects == {} and other.way == 2
    save_file(arrays, path, metadata={KEY: json.dumps(about)})
    other.load_guidance(path)
    assert other.objects == {1: "dog", 2: "cat"}
