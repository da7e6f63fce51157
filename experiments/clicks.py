"""Interactive segmentation by clicks (paper 5.1): the field's simulated user, and the number of clicks it needs.

    python -m experiments.clicks --workdir=RUN --source=voc:val:class --config.data.root=DATA

The model of a run segments every object of a source again and again, each time with the user's next click
(`guided_jax.scoring.clicks`): NoC@80, 85 and 90, the mean IoU after every click, and the time that a click takes.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from jaxtyping import UInt8
from tqdm import tqdm

from data_pipelines.canvas import choose_bucket, parse_buckets, scale_image, scale_labels, scaled_size
from data_pipelines.datasets.record import decode_image, to_record
from data_pipelines.tasks import Task, Tasks, count_tasks, get_task, task_target
from experiments.clicks_report import Asked, Object, describe, report, save_mask
from experiments.config import Config
from experiments.data import OpenSource, open_sources
from experiments.load import Trained, load_model
from experiments.overrides import Answered, UserError, guarded, own_flags, read_flags, user_mistakes, workdir_of
from experiments.result_files import own_config, write_result
from experiments.run import show_messages
from experiments.unseen import check_evaluation
from guided_jax.episode import Click
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.scoring.clicks import LIMIT, Clicked, simulate_clicks
from guided_jax.session import Session

USAGE = """\
usage: python -m experiments.clicks --workdir=RUN [--source=SOURCE] [--config.FIELD=VALUE ...]

  --workdir=RUN           of a trained run; the result is written there
  --source=SOURCE         whose class or instance masks are the objects, as voc:val:class (the run's eval.source)
  --targets=80,85,90      of the IoU, in per cent, for the number of clicks (NoC)
  --clicks=20             clicks an object at most
  --limit=N               only so many objects, drawn once by the seed
  --best                  the best checkpoint by the evaluations during training, not the newest
  --save=DIR              writes the mask after the last click of every object as DIR/IMAGE/OBJECT.png, 0 and 1, which
                          a report shows
  --config.FIELD=VALUE    of data, eval and seed, as --config.data.root=DATA or --config.data.buckets=480x854

A fold (--config.eval.classes=fold:K) is refused for a model that learnt its classes; with --config.eval.force_seen=True
it is clicked on all the same, and the result says so.
"""

CLICK_STREAM = 8


def choose_tasks(tasks: Tasks, limit: int, seed: int) -> list[Task]:
    """The tasks, or some of them that the seed draws, by image."""
    rows = np.arange(count_tasks(tasks))
    if 0 < limit < len(rows):
        rows = np.sort(np.random.default_rng([seed, CLICK_STREAM]).permutation(rows)[:limit])
    return sorted((get_task(tasks, row) for row in rows.tolist()), key=lambda task: task.record)


def click_objects(trained: Trained, config: Config, opened: OpenSource, asked: Asked) -> Iterator[Object]:
    """Clicks on every object; those of an image share its encoding.

    Raises:
        DatasetError: no canvas holds an image.
    """
    buckets, max_side = parse_buckets(config.data.buckets), config.data.max_side
    tasks = choose_tasks(opened.tasks, asked.limit, config.seed)
    for task in tasks:  # before any of them is clicked on
        name = f"{opened.split.name}: image {to_record(opened.split.records[task.record]).image_id!r}"
        choose_bucket(*scaled_size(task.height, task.width, max_side), buckets, name=name)
    session, warm, now = Session(trained.model, trained.params, canvases=buckets), set(), None
    for task in tqdm(tasks, desc="objects", disable=None, leave=False):
        record = to_record(opened.split.records[task.record])
        target = scale_labels(task_target(record, task), max_side)
        if not (target == 1).any():  # lost by scaling down
            continue
        bucket, encode_ms = choose_bucket(*target.shape, buckets), 0.0
        if bucket not in warm:
            _warm(session.fresh(), bucket, asked.clicks)
            warm.add(bucket)
        if task.record != now:
            image = scale_image(decode_image(record.image), max_side)
            if now is not None:
                session.remove(now)
            now, began = task.record, time.perf_counter()
            session.add(now, image)
            encode_ms = 1000 * (time.perf_counter() - began)
        clicked, times = _click(session, now, target, asked.clicks)
        name = name_object(opened, task)
        yield Object(record.image_id, name, clicked, times, encode_ms, session.mask(now))


def name_object(opened: OpenSource, task: Task) -> str:
    """`CLASS-INSTANCE`, as far as there are any; one of a kind in its image."""
    class_name = opened.split.class_names[task.class_id - 1] if task.class_id else ""
    return "-".join(filter(None, [class_name, str(task.instance or "")]))


def _click(session: Session, name: int, target: UInt8[np.ndarray, "h w"], limit: int) -> tuple[Clicked, list[float]]:
    session.clear(name)
    times = []

    def segment(clicks: list[Click]) -> UInt8[np.ndarray, "h w"]:
        began = time.perf_counter()
        session.click(name, *clicks[-1])
        mask = session.mask(name)
        times.append(1000 * (time.perf_counter() - began))
        return mask

    return simulate_clicks(segment, target, limit=limit), times


def _warm(session: Session, bucket: tuple[int, int], clicks: int) -> None:
    """Compiles what a canvas needs, so that no click is timed with it."""
    session.add("blank", np.zeros((*bucket, 3), np.uint8))
    for i in range(clicks):
        session.click("blank", i // bucket[1], i % bucket[1], 1)
    session.mask("blank")


def learnt(workdir: Path, step: int) -> dict[str, Any]:
    """What a checkpoint tells of its training: `trained_classes`, None where unknown, and `trained_on`."""
    with closing(Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=0, read_only=True)) as kept:
        about = kept.about(step)
    return {name: about.get(name) for name in ("trained_classes", "trained_on")}


def parse(argv: Sequence[str]) -> tuple[Trained, Config, Asked]:
    """Reads a command line, the first word of which is the program's name, and the run that it names.

    Raises:
        UserError: it is not as it should be, or the run has no checkpoint.
    """
    values = own_flags()
    flags.DEFINE_string("source", "", "whose objects", flag_values=values)
    flags.DEFINE_list("targets", ["80", "85", "90"], "of the IoU, in per cent", flag_values=values)
    flags.DEFINE_integer("clicks", LIMIT, "an object at most", flag_values=values)
    flags.DEFINE_integer("limit", 0, "number of objects", flag_values=values)
    flags.DEFINE_bool("best", False, "the best checkpoint, not the newest", flag_values=values)
    flags.DEFINE_string("save", "", "folder for masks", flag_values=values)
    words = read_flags(argv, values)
    if values.help:
        raise Answered(USAGE)
    targets = [text.strip() for text in values.targets]
    if not targets or any(not text.isdigit() or not 1 <= int(text) <= 100 for text in targets):
        raise UserError(f"--targets={','.join(values.targets)}: expects whole per cent of IoU, as 80,85,90")
    if values.clicks < 1 or values.limit < 0:
        raise UserError(f"--clicks={values.clicks}: at least 1; --limit={values.limit}: at least 0, which is all")
    save = Path(values.save) if values.save else None
    if save is not None and save.exists() and (not save.is_dir() or any(save.iterdir())):
        raise UserError(f"--save={save}: is not empty; give a new folder")
    workdir = workdir_of(values)
    trained = load_model(workdir, best=values.best)
    if values.source:
        words = [*words, f"--config.eval.source={values.source}"]
    config = own_config(trained.config, words, list(values))
    if trained.config.model.way != 2:
        raise UserError(f"{workdir}: the model has {trained.config.model.way} labels, and an object has two")
    return trained, config, Asked(workdir, tuple(int(text) for text in targets), values.clicks, values.limit, save)


def main(argv: Sequence[str]) -> None:
    """The command line.

    Raises:
        UserError: what a user can mend.
    """
    trained, config, asked = parse(argv)
    with user_mistakes():
        opened = open_sources(config, "eval")
        if len(opened) != 1:
            raise UserError(f"--source={config.eval.source}: one source was expected")
        about = learnt(asked.workdir, trained.step)
        seen = check_evaluation(config, opened[0], about["trained_classes"])
        objects = []
        for each in click_objects(trained, config, opened[0], asked):
            if asked.save:
                save_mask(asked.save, each)
            objects.append(each._replace(mask=each.mask[:0]))
        result = report(trained, config, opened[0], objects, asked, seen=seen, about=about)
    print(describe(result))
    print(f"written to {write_result(asked.workdir, ['clicks', config.eval.source], result)}")


if __name__ == "__main__":
    show_messages()
    sys.exit(guarded(lambda: main(sys.argv)))
