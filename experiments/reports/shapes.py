"""What the result files of each kind must hold for a report, checked when they are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.settings.errors import UserError
from experiments.settings.shapes import EACH, SCORE, Shape, find_fault

NUMBER = (int, float)
PER_CODE = {"iou": SCORE, "fb_iou": SCORE, "deviation?": SCORE}
PART = {"mean": SCORE, "recall": SCORE, "decay": SCORE}
SPREAD = {"mean": SCORE, "std": SCORE}
CELL = {"pos_iu": SCORE, "j": SCORE, "deviation?": {"pos_iu": SCORE, "j": SCORE}}

RESULTS: dict[str, Shape] = {
    "evaluation": {
        "protocol": {"data": str, "tasks": int, "shots?": int, "draws?": int, "left_out_classes?": list},
        "scores": {
            EACH: {
                "pos_iu": SCORE,
                "class_mean": SCORE,
                "small?": SCORE,
                "classes?": {EACH: SCORE},
                "deviation?": {"pos_iu": SCORE, "class_mean": SCORE},
                "accumulations?": {"panet": PER_CODE, "hsnet": PER_CODE, EACH: PER_CODE},
            }
        },
        "about?": {"config?": {"eval?": dict}, "trained_on?": dict},
    },
    "video": {
        "protocol": {"data": str},
        "scores": {
            EACH: {"j_and_f": SCORE, "j": PART, "f": PART, "pos_iu?": SCORE, "deviation?": {"j_and_f?": SCORE}},
        },
        "speed?": {"seconds_per_video": NUMBER, "frames_per_second": NUMBER},
        "rows": [
            {
                "video": str,
                "object": int,
                "points": str,
                "j_and_f": SCORE,
                "j": {"mean": SCORE},
                "f": {"mean": SCORE},
                "j_by_frame": [NUMBER],
            }
        ],
    },
    "clicks": {
        "protocol": {"data": str, "objects": int, "clicks": int},
        "scores": {"noc": {EACH: NUMBER}, "at_limit": {EACH: int}, "mean_iou": [NUMBER]},
        "objects": [{"image": str, "object": str, "ious": [NUMBER]}],
        "times?": {"click_ms_median?": NUMBER, "click_ms_mean?": NUMBER, "encode_ms_median?": NUMBER},
    },
    "interactive-video": {
        "protocol": {"data": str},
        "scores": {
            "grid": [{"frames": int, "points": int, **CELL}],
            "corrections?": [{"dots": int, "pos_iu": SCORE, "j": SCORE}],
        },
        "times": {"update_ms": NUMBER, "encode_ms_per_frame": NUMBER, "frame_ms?": NUMBER},
    },
    "sweep": {
        "variants": [
            {
                "name": str,
                "scores": {EACH: SPREAD},
                "seeds": list,
                "parameters?": {EACH: NUMBER},
                "click?": {"update_ms": SCORE, "ratio": SCORE, "height": int, "width": int},
                "training_seconds?": SPREAD,
                "tuning_seconds?": SPREAD,
                "weight_variation?": SPREAD,
                "one_protocol": bool,
                "protocol?": {"data": str, "tasks": int, "mode": str, "shots": int},
            }
        ],
        "missing": {EACH: str},
    },
}
"""By kind: what the tables and curves take of a result."""

CASES: dict[str, Shape] = {
    "evaluation": {
        "protocol": {"predictions?": str, "step?": int},
        "scores": {EACH: {"draws?": {"pos_iu": [SCORE]}}},
    },
    "video": {
        "protocol": {
            "source": str,
            "shots": int,
            "names": (str, list),
            "every": int,
            "predictions?": str,
            "draws?": int,
            "seed?": int,
        },
        "rows": [{"draw": int}],
    },
    "clicks": {
        "protocol": {
            "source": str,
            "classes": str,
            "lists": str,
            "min_area": int,
            "max_side": int,
            "limit": int,
            "seed": int,
        },
        "objects": [{"clicks": [[int]]}],
    },
}
"""By kind: what the pictures of single tasks or objects take besides."""

OF_A_MODEL = {"protocol": {"checkpoint": str, "step": int, "way": str, "max_side": int}}
"""What they take of a result of videos whose masks are a model's, not someone's files."""


def check_result(path: Path, result: Mapping[str, Any], shape: Shape) -> None:
    """Raises UserError, with the file and what is missing or of another type there, where a result is not whole."""
    fault = find_fault(result, shape)
    if not fault and shape is RESULTS["clicks"]:
        fault = _find_missing_clicks(result)
    if fault:
        raise UserError(f"{path}: a result lacks what its kind has: {fault}; score it again")


def _find_missing_clicks(result: Mapping[str, Any]) -> str | None:
    limit = result["protocol"]["clicks"]
    if (found := len(result["scores"]["mean_iou"])) != limit:
        return f"scores.mean_iou: has {found} values, and protocol.clicks says {limit}"
    wrong = (i for i, each in enumerate(result["objects"]) if not 1 <= len(each["ious"]) <= limit)
    if (number := next(wrong, None)) is not None:
        return f"objects.{number}.ious: has {len(result['objects'][number]['ious'])} values; there must be 1 to {limit}"
    return None
