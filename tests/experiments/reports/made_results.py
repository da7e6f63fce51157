"""Results of each kind by hand, and their files."""

import json
from pathlib import Path

import numpy as np

from experiments.settings.config import Config
from experiments.settings.fields import to_dict


def evaluation(name="guided", seed=1, shots=1, scores=((0.25, 0.5), (0.5, 0.75)), **protocol) -> dict:
    """A result by hand: positive IU and class mean at 1 point and at 5, of the classes a (half of it) and b."""
    protocol = {
        "data": "things:val",
        "source": "things:val:class",
        "mode": "interactive",
        "tasks": 4,
        "shots": shots,
        "draws": 1,
        "seed": seed,
        "episode_seed": seed,
        "step": 10,
        **protocol,
    }
    by_points = {
        points: {"pos_iu": iu, "class_mean": mean, "classes": {"a": iu / 2, "b": iu}}
        for points, (iu, mean) in zip(("1", "5"), scores, strict=True)
    }
    return {"name": name, "protocol": protocol, "scores": by_points, "about": {"code": "x"}}


def write(folder: Path, result: dict, file: str = "result.json", config: Config | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(json.dumps(result))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(to_dict(config)))
    return folder


def of_fold(fold: int, shots=1, mean=0.3, **about) -> dict:
    result = evaluation(
        name=f"few_shot-{fold}",
        shots=shots,
        source="voc:val:class",
        data="voc:val",
        mode="semantic",
        chosen_classes=f"fold:{fold}",
    )
    result["scores"]["dense"] = {**result["scores"].pop("5"), "class_mean": mean}
    both = {"panet": 0.7051, "hsnet": 0.702, "pfenet": 0.702}
    names = ("oslsm", "panet", "hsnet", "pfenet", "reference")
    for each in result["scores"].values():
        each["accumulations"] = {name: {"iou": 0.4535, "deviation": 0.012, "fb_iou": both.get(name)} for name in names}
    result["about"] |= about
    return result


def video(points=("dense",), seconds=2.0, **protocol) -> dict:
    part = {"mean": 0.4, "recall": 0.5, "decay": 0.1}
    rows = [
        {"video": name, "object": 1, "points": count, "draw": 0, "j_and_f": j, "j": {**part, "mean": j},
         "f": {**part, "mean": j}, "pos_iu": j, "j_by_frame": [j, j], "f_by_frame": [j, j]}
        for count in points for name, j in (("cat", 0.2), ("dog", 0.8))
    ]  # fmt: skip
    return {
        "name": "film",
        "protocol": {"task": "video objects", "data": "davis:val", "source": "davis:val", "shots": 1, "names": "all",
                     "every": 1, "step": 3, "videos": 2, **protocol},
        "scores": {count: {"j_and_f": 0.5, "j": part, "f": part, "pos_iu": 0.3 if count == "dense" else 0.24,
                           "deviation": {"j_and_f": None}} for count in points},
        "speed": {"seconds_per_video": seconds, "frames_per_second": 30.0},
        "rows": rows,
    }  # fmt: skip


def clicks(ious, step=1) -> dict:
    number = len(ious)
    mean = np.mean([each + [each[-1]] * (5 - len(each)) for each in ious], axis=0)
    return {
        "name": "clicked",
        "protocol": {"task": "clicks", "data": "voc:val", "objects": number, "clicks": 5, "step": step},
        "scores": {"noc": {"80": 3.25}, "at_limit": {"80": 1}, "mean_iou": mean.tolist()},
        "objects": [{"image": f"i{k}", "object": "cat", "ious": each} for k, each in enumerate(ious)],
        "times": {"click_ms_median": 4.0, "click_ms_mean": 5.0, "encode_ms_median": 100.0},
    }
