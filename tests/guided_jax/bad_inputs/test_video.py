"""What a video is given by mistake, a line each."""

import numpy as np
import pytest
from PIL import Image

from guided_jax.video import VideoSegmentor
from tests.guided_jax.bad_inputs.refusals import check_refused
from tests.guided_jax.small_models import small_model

SIZE = (9, 12)
FRAMES = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), np.uint8)
ANNOTATION = np.full((1, 1, *SIZE), 255, np.uint8)
ANNOTATION[..., 2:5, 3:6], ANNOTATION[..., 7:, :] = 1, 0
MASK = np.where(ANNOTATION == 1, 255, 0).astype(np.uint8)

STACK = "it must be uint8 [frames, height, width, 3], RGB"
LABELS = "it must be uint8 [annotations, frames, height, width]"
GUIDES = {
    "float frames": ({"images": FRAMES[:1] / 255}, f"the annotated frames is float64 (1, 9, 12, 3); {STACK}"),
    "one frame": ({"images": FRAMES[0]}, f"is uint8 (9, 12, 3); {STACK}"),
    "no frames": ({"images": FRAMES[:0]}, f"is uint8 (0, 9, 12, 3); {STACK}"),
    "grey frames": ({"images": FRAMES[:1, ..., 0]}, f"is uint8 (1, 9, 12); {STACK}"),
    "a list": ({"images": list(FRAMES[:1])}, f"is a list; {STACK}"),
    "float labels": ({"annotation": ANNOTATION / 1.0}, f"the annotation is float64 (1, 1, 9, 12); {LABELS}"),
    "a bool mask": ({"annotation": ANNOTATION == 1}, f"is bool (1, 1, 9, 12); {LABELS} (of a bool mask"),
    "int labels": ({"annotation": ANNOTATION.astype(np.int64)}, f"is int64 (1, 1, 9, 12); {LABELS} (labels.astype"),
    "one map": ({"annotation": ANNOTATION[0, 0]}, f"is uint8 (9, 12); {LABELS}"),
    "no map": ({"annotation": ANNOTATION[:0]}, f"is uint8 (0, 1, 9, 12); {LABELS}"),
    "none": ({"annotation": None}, f"the annotation is None; {LABELS}"),
    "another size": ({"annotation": ANNOTATION[..., 1:]}, "annotations of shape (1, 1, 9, 11) do not fit frames of"),
    "0 and 255": ({"annotation": MASK}, "the annotation has the values 0 and 255 alone, so that it shows no object"),
    "a label": ({"annotation": np.full_like(MASK, 7)}, "has the label 7; the labels are 0 (the negative) to 1"),
    "way of 1": ({"way": 1}, "way=1: must be 2"),
    "way of 300": ({"way": 300}, "way=300: must be 2 (the negative and one positive) to 255"),
    "way of a float": ({"way": 2.5}, "way is 2.5; it must be a whole number (int)"),
    "a canvas": ({"canvas": 480}, "canvas is 480; it must be (height, width) in pixels"),
    "a canvas of floats": ({"canvas": (32.0, 32.0)}, "canvas is (32.0, 32.0); it must be (height, width) in pixels"),
}

IMAGE = "it must be uint8 [height, width, 3], RGB"
SEQUENCES = {
    "one frame": (FRAMES[0], f"frame 0 is uint8 (12, 3); {IMAGE}"),
    "float in the middle": ([FRAMES[0], FRAMES[1] / 255], f"frame 1 is float64 (9, 12, 3); {IMAGE}"),
    "grey in the middle": ([FRAMES[0], FRAMES[1, ..., 0]], f"frame 1 is uint8 (9, 12); {IMAGE}"),
    "alpha": ([np.dstack([FRAMES[0], MASK[0, 0]])], f"frame 0 is uint8 (9, 12, 4); {IMAGE} (without the alpha"),
    "not read": ([FRAMES[0], None], f"frame 1 is None; {IMAGE} (cv2.imread gives None"),
    "pil": ([Image.fromarray(FRAMES[0])], f"frame 0 is an Image; {IMAGE}"),
    "another size": ([*FRAMES, FRAMES[0, 1:]], "frame 3 has 8x12 pixels (height x width), the annotated frames 9x12"),
    "a path": ("clip.mp4", f"frame 0 is 'c'; {IMAGE}"),
    "nothing": (None, "the frames are None; they must be RGB images, one after the other"),
    "a number": (3, "the frames are 3; they must be RGB images"),
}


@pytest.fixture(scope="module")
def video():
    return VideoSegmentor(*small_model(inference="distance"), chunk=2)


@pytest.mark.parametrize(("change", "message"), GUIDES.values(), ids=GUIDES)
def test_what_does_not_guide(video, change, message):
    given = {"images": FRAMES[:1], "annotation": ANNOTATION, "way": 2, **change}
    images, annotation = given.pop("images"), given.pop("annotation")
    check_refused(lambda: video.guide(images, annotation, **given), message)
    assert video.compiled() == 0


@pytest.mark.parametrize(("frames", "message"), SEQUENCES.values(), ids=SEQUENCES)
def test_what_is_no_video(frames, message):
    video = VideoSegmentor(*small_model(inference="distance"), chunk=8)
    guidance = video.guide(FRAMES[:1], ANNOTATION, way=2)
    check_refused(lambda: list(video.segment(guidance, frames)), message)


def test_guidance_comes_first_and_negatives_alone_are_taken_where_they_are_meant(video):
    check_refused(
        lambda: next(video.segment(FRAMES, None)), "the guidance is uint8 (3, 9, 12, 3); it must be what guide"
    )
    guidance = video.guide(FRAMES[:1], MASK, way=2, negatives_only=True)
    assert len(list(video.segment(guidance, iter(FRAMES)))) == 3


@pytest.mark.parametrize("chunk", [0, -1, 1.5, True, None])
def test_what_is_no_chunk(chunk):
    check_refused(lambda: VideoSegmentor(*small_model(), chunk=chunk), f"chunk is {chunk}; ")
