"""Segments images and clips as a few annotated images show: masks, overlays, COCO's JSON, videos.

    guided_jax segment --support=a.jpg --annotation=a.json --query='photos/*.jpg' --out=masks

Annotations are masks, or files of this project, labelme, COCO or CVAT (`experiments.segmenting.annotation_files`). What
is done is not done again by the same command.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from tqdm import tqdm

from data_pipelines.counted import counted
from data_pipelines.datasets.reading.masks import READINGS
from experiments.evaluation.mask_folders import claim_folder, refuse_foreign
from experiments.runs.load import Trained, load_file, load_model
from experiments.segmenting.clips import (
    OpenClip,
    annotate_first_frame,
    follow_clip,
    is_clip_done,
    open_clips,
    segment_clip,
)
from experiments.segmenting.guiding import (
    can_follow,
    check_model,
    check_sizes,
    default_side,
    guide,
    made_with,
    open_session,
)
from experiments.segmenting.images import is_done, measure, segment_images
from experiments.segmenting.outputs import COCO, FORMATS, collect_coco, write_names
from experiments.segmenting.plan import Plan
from experiments.segmenting.queries import Found, check_out, find_queries
from experiments.segmenting.supports import Support, read_supports
from experiments.settings.checks import check_writable
from experiments.settings.command_flags import (
    define_best,
    define_path,
    define_paths,
    own_flags,
    read_flags,
    workdir_if_any,
)
from experiments.settings.command_line import start
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.help_texts import Command
from guided_jax.session import Session
from guided_jax.shipped import ACROSS_IMAGES, DEFAULT, SHIPPED

COMMAND = Command("guided_jax segment", __doc__)


class Asked(NamedTuple):
    """What the command line asks for.

    Attributes:
        model: name of a guide or path of a file; empty: see `workdir`.
        workdir: of a trained run; None: the model that is named, or the default one.
        best: takes the best checkpoint of the run.
        supports: paths of annotated images.
        annotations: paths of files of annotations.
        masks: how masks are read; empty: found out.
        queries: paths and globs.
        clip: whether the images of a folder are one clip.
        out: folder of the outputs.
        formats: of them.
        max_side: at which images are looked at; None: the model's own.
        guided_filter: whether masks follow the edges of the image.
        skip_broken: leaves images out that cannot be read.
    """

    model: str
    workdir: Path | None
    best: bool
    supports: tuple[Path, ...]
    annotations: tuple[Path, ...]
    masks: str
    queries: tuple[str, ...]
    clip: bool
    out: Path
    formats: tuple[str, ...]
    max_side: int | None
    guided_filter: bool
    skip_broken: bool


def parse(argv: Sequence[str]) -> Asked:
    """Reads a command line, the first word of which is the program's name.

    Raises:
        UserError: it is not as it should be.
    """
    values = own_flags()
    define_path(
        values,
        "model",
        "",
        f"`NAME` of a guide that comes with the package ({', '.join(SHIPPED)}), or a .safetensors. Without this and "
        f"--workdir it is {ACROSS_IMAGES}, and where a query is a clip {DEFAULT}.",
    )
    define_path(values, "workdir", None, "`DIR` of a trained run, as runs/first, whose model is used.")
    define_best(values)
    define_paths(values, "support", "An annotated image, `FILE`; several times for several of them.")
    define_paths(
        values,
        "annotation",
        "What is annotated on it, `FILE`: a mask as PNG, or JSON of guided_jax, labelme or COCO, or XML of CVAT for "
        "images. Several times, in the order of --support. A file that says where its images lie needs none.",
    )
    text = "How annotations that are masks are read; without it that is found out from their values."
    flags.DEFINE_enum("masks", None, READINGS, text, flag_values=values)
    define_paths(
        values,
        "query",
        "What is segmented, `PATH`: an image, a video, a folder with all below it, or a glob in quotes, as "
        "'photos/*.jpg'; several times for more.",
    )
    text = "The images of a folder are the frames of one clip, in the order of their names."
    flags.DEFINE_bool("clip", False, text, flag_values=values)
    define_path(values, "out", "", "`DIR` for what is written; the same command goes on with what is there.")
    flags.DEFINE_list(
        "format",
        ["png", "overlay"],
        f"`F,...`: png (labels with a palette), overlay (the image and its masks), coco ({COCO}: objects, scores), "
        "mp4 (the overlays of a clip).",
        flag_values=values,
    )
    text = (
        "Images with a longer side are looked at scaled down to `N` pixels; 0 is never. Without it as the model says."
    )
    flags.DEFINE_integer("max_side", None, text, lower_bound=0, flag_values=values)
    text = "Masks follow the edges of the image by a guided filter; else they are interpolated, as the logits are."
    flags.DEFINE_bool("guided_filter", False, text, flag_values=values)
    text = "Leaves images out that cannot be read, and lists them."
    flags.DEFINE_bool("skip_broken", False, text, flag_values=values)
    read_flags(argv, values, COMMAND)
    _check_given(values)
    return Asked(
        values.model,
        workdir_if_any(values),
        values.best,
        tuple(map(Path, values.support or ())),
        tuple(map(Path, values.annotation)),
        values.masks or "",
        tuple(values.query),
        values.clip,
        Path(values.out),
        tuple(dict.fromkeys(kind.strip() for kind in values.format)),
        values.max_side,
        values.guided_filter,
        values.skip_broken,
    )


def _check_given(values: flags.FlagValues) -> None:
    missing = {
        "annotation": "FILE is missing: a mask, or JSON or XML with what is annotated",
        "query": "PATH is missing: an image, a folder, a glob in quotes, or a video",
        "out": "DIR is missing: the folder for what is written",
    }
    for name, text in missing.items():
        if not values[name].value:
            raise UserError(f"--{name}={text}")
    kinds = [kind.strip() for kind in values.format]
    if unknown := [kind for kind in kinds if kind not in FORMATS]:
        raise UserError(f"--format={unknown[0]}: no such format; there are {', '.join(FORMATS)}")
    if not kinds:
        raise UserError(f"--format is empty; there are {', '.join(FORMATS)}")
    if values.model and values.workdir:
        raise UserError("--model and --workdir both name a model; give one of them")
    if values.best and not values.workdir:
        raise UserError("--best: chooses among the checkpoints of a run; it needs --workdir")


def main(argv: Sequence[str]) -> None:
    """The command line.

    Raises:
        UserError: what a user can mend.
    """
    asked = parse(argv)
    with user_mistakes():
        found = find_queries(asked.queries, clip=asked.clip)
        check_out(asked.out, found)
        check_writable(asked.out, "--out")
        clips = open_clips(found.queries)
        if "mp4" in asked.formats and not clips:
            raise UserError("--format=mp4: is of clips, and --query names none; --clip says that images are frames")
        supports = read_supports(asked.supports, asked.annotations, asked.masks, clips)
        if not asked.model and not asked.workdir:
            asked = asked._replace(model=DEFAULT if clips else ACROSS_IMAGES)
        trained = _load(asked)
        check_model(trained)
        segment(asked, found, clips, supports, trained)


def _load(asked: Asked) -> Trained:
    return load_model(asked.workdir, best=asked.best) if asked.workdir else load_file(asked.model)


def segment(
    asked: Asked, found: Found, clips: dict[str, OpenClip], supports: Sequence[Support], trained: Trained
) -> None:
    """Segments what is not done yet, and tells what was done.

    Args:
        asked: what the command line asks for.
        found: the queries.
        clips: those that are clips, by name.
        supports: the annotated images.
        trained: the model.

    Raises:
        UserError, DatasetError, ValueError: what a user can mend.
    """
    plan = Plan(asked.out, asked.formats, asked.skip_broken)
    max_side = default_side(trained) if asked.max_side is None else asked.max_side
    options = {"max_side": max_side, "guided_filter": asked.guided_filter}
    record = made_with(trained, supports, found.bases, clip=asked.clip, **options)
    refuse_foreign(asked.out, record, "--out")
    left = [query for query in found.queries if not query.is_clip and not is_done(query, plan)]
    clips_left = [clip for clip in clips.values() if not is_clip_done(clip, plan)]
    sizes = measure(left, plan)
    seen = {query.path: size for query, size in sizes.items()}
    seen |= {clip.query.path: clip.frames.size for clip in clips_left}
    check_sizes(trained, seen, max_side)
    print(_describe_model(asked, trained))
    opened = open_session(trained, supports, seen.values(), **options)
    session = guide(opened, supports)
    claim_folder(asked.out, record, "--out")
    write_names(asked.out, session.objects)
    frames = sum(len(clip.frames) for clip in clips_left)
    begun = time.monotonic()
    with tqdm(total=len(sizes) + frames, desc="segment", unit=" images", disable=None, leave=False) as bar:
        number = segment_images(session, list(sizes), plan, bar.update)
        for clip in clips_left:
            _segment_clip(guide(opened, supports, clip), clip, supports, plan, bar.update, can_follow(trained))
    seconds = time.monotonic() - begun
    if "coco" in plan.formats:
        info = {"description": "made by guided_jax segment", "model": trained.config.name, **options}
        collect_coco(asked.out, session.objects, info)
    before = sum(len(clips[query.name].frames) if query.is_clip else 1 for query in found.queries) - len(left) - frames
    print(_describe_work(asked, session.objects, supports, number + frames, before, seconds))


def _segment_clip(
    session: Session,
    clip: OpenClip,
    supports: Sequence[Support],
    plan: Plan,
    advance: Callable[[], object],
    follows: bool,
) -> None:
    """Segments a clip, which the session holds, in the best way that there is."""
    names = {clip.name_of(number) for number in range(len(clip.frames))}
    annotated = any(support.frame in names and support.shows_object for support in supports)
    if follows and (annotated or annotate_first_frame(session, clip) is not None):
        follow_clip(session, clip, plan, advance)
    else:
        segment_clip(session, clip, plan, advance)


def _describe_model(asked: Asked, trained: Trained) -> str:
    if asked.workdir:
        return f"model: {asked.workdir}, step {trained.step}"
    return f"model: {asked.model}" + (", which comes with the package" if asked.model in SHIPPED else "")


def _describe_work(
    asked: Asked, objects: dict[int, str], supports: Sequence[Support], number: int, before: int, seconds: float
) -> str:
    shown = ", ".join(f"{label} {name}".strip() for label, name in objects.items())
    images = counted(len({support.path.resolve() for support in supports}), "annotated image")
    speed = f" in {seconds:.1f} s, {number / seconds:.2f} images/s" if number else ""
    done = f"; {before} were done before" if before else ""
    return (
        f"objects: {shown} (from {images})\n"
        f"{counted(number, 'image')} segmented{speed}{done}\n"
        f"written to {asked.out}: {', '.join(_where(kind) for kind in asked.formats)}"
    )


def _where(kind: str) -> str:
    return COCO if kind == "coco" else Path(FORMATS[kind]).parts[0]


if __name__ == "__main__":
    sys.exit(start(main))
