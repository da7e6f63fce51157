"""Takes in and gives out models: the reference's .pth files, and .safetensors of any model here.

    guided_jax snapshot import FILE.pth --model=cofeat-late --workdir=runs/cofeat-late
    guided_jax snapshot export FILE.pth --workdir=runs/cofeat-late

`import` makes a workdir with a checkpoint of step 0, to evaluate, to train on, or for `experiments.runs.load`.
"""

import contextlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags

from experiments.configs.snapshot import PREFIX, get_config
from experiments.runs.load import Trained, load_model
from experiments.runs.workdir import open_workdir, record_start
from experiments.settings.checks import check_writable
from experiments.settings.command_flags import define_best, define_path, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.fields import to_dict
from experiments.settings.help_texts import Command
from guided_jax.backbones.file_formats import file_format
from guided_jax.backbones.known_file import checksum
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state
from guided_jax.loading import model_file
from guided_jax.snapshots.files import read_parameters, read_snapshot, write_parameters, write_snapshot
from guided_jax.snapshots.models import MODELS, PREPROCESSING, canonical_name, find_model, matching_names

COMMAND = Command("guided_jax snapshot", __doc__, words="import|export FILE")


LEARNT = ("trained_classes", "trained_on")
"""What a workdir knows of the training of the `.safetensors` that it was made of."""


def import_snapshot(file: Path, workdir: Path, model: str = "", *, way: int = 2) -> Config:
    """Makes a workdir of a snapshot; returns its configuration, that of `snapshot`.

    Args:
        file: of the reference (`read_snapshot`) where a model is named, else of `write_parameters`.
        workdir: new, or empty.
        model: the reference's name.
        way: number of labels of the reference's model.

    Raises:
        UserError: the file is not sound or not of the model, or the workdir holds a run.
    """
    if not model and file_format(file) != ".safetensors":
        raise UserError(f"--model=NAME is missing: {file} does not tell its model; one of {', '.join(MODELS)}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(user_mistakes())
        config, learnt = get_config(model or str(file)), {}
        if model:
            config.model, params, preprocessing = read_snapshot(file, model, way=way)
        else:
            loaded = read_parameters(file)
            params, preprocessing = loaded.params, loaded.preprocessing
            learnt = {name: loaded.about[name] for name in LEARNT if name in loaded.about}
        stack.enter_context(open_workdir(workdir, config))
        kept = Checkpoints(workdir / "checkpoints", keep_last=config.train.keep_last, keep_best=config.train.keep_best)
        stack.callback(kept.close)
        if kept.newest() is not None:
            raise UserError(
                f"--workdir={workdir}: holds a checkpoint of step {kept.newest()} already; give a new folder"
            )
        start = record_start(workdir, config, mode="import", parallel="none", data={})
        about = {
            "config": to_dict(config),
            "preprocessing": preprocessing.to_dict(),
            "snapshot": {"file": file.name, "sha256": checksum(file), "model": model},
            **learnt,
            **start,
        }
        params = jax.tree.map(jnp.asarray, params)
        kept.save(create_state(params, make_optimizer(config.train), config.train.freeze), about, None)
    return config


def export_snapshot(
    file: Path,
    workdir: Path,
    model: str = "",
    *,
    best: bool = False,
    numbered: bool = False,
    dtype: str = "float32",
    trunk: Path | None = None,
) -> list[str]:
    """Writes a checkpoint of a run to a file of parameters.

    Args:
        file: `.pth` for the reference (`write_snapshot`), `.safetensors` for here (`write_parameters`).
        workdir: of the run.
        model: the reference's name; empty: found from the configuration.
        best: the best checkpoint by the evaluations during training, not the newest.
        numbered: as in `write_snapshot`.
        dtype: as in `write_parameters`.
        trunk: as in `write_parameters`.

    Returns:
        What will be otherwise at the reference, in sentences.

    Raises:
        UserError: the reference has no such model, with the reason; or what the workdir or the file lacks.
    """
    if file.suffix not in (".pth", ".pt", ".safetensors"):
        raise UserError(f"{file}: the name must end in .pth (for the reference) or .safetensors")
    check_writable(file.parent, "export")
    trained = load_model(workdir, best=best)
    with user_mistakes():
        if file.suffix == ".safetensors":
            if model:
                raise UserError(f"--model={model}: a .safetensors tells its model by itself; leave --model out")
            about = trained.about
            config, preprocessing = trained.config.model, trained.model.preprocessing
            write_parameters(file, config, trained.params, preprocessing, about, dtype=dtype, trunk=trunk)
            return []
        if trunk:
            raise UserError(f"--trunk={trunk}: a .pth is whole; leave --trunk out")
        if dtype != "float32":
            raise UserError(f"--dtype={dtype}: a .pth holds float32, as the reference reads it; leave --dtype out")
        name = _reference_name(trained.config, model)
        departures = _departures(trained, name)
        write_snapshot(file, name, trained.params, way=trained.config.model.way, numbered=numbered)
    return departures


def _reference_name(config: Config, asked: str) -> str:
    """The name of the reference's model that a run is of."""
    names = matching_names(config.model)
    if asked:
        if canonical_name(asked) not in names:
            raise UserError(f"--model={asked}: the model of the workdir is the reference's {', '.join(names)}")
        return canonical_name(asked)
    if (imported := config.name.removeprefix(PREFIX)) in names:
        return imported
    mode = "interactive" if config.data.mode == "interactive" else "conditional"
    return next((name for name in names if MODELS[name].mode == mode), names[0])


def _departures(trained: Trained, name: str) -> list[str]:
    """What the same parameters do otherwise in the reference's code; refused where it would be useless there."""
    ours, model, departures = trained.model.preprocessing, trained.config.model, []
    if (ours.channels, ours.scale, ours.std) != (PREPROCESSING.channels, PREPROCESSING.scale, PREPROCESSING.std):
        raise UserError(
            f"the reference has no such model: its images are {PREPROCESSING.key()}, those of this model {ours.key()}"
        )
    if ours.mean != PREPROCESSING.mean:
        departures.append(f"the reference subtracts the mean {PREPROCESSING.mean} of images, this model {ours.mean}")
    reference = find_model(name, model.way)
    if reference.mode == "conditional" and reference.config.merge != model.merge:
        departures.append(
            f"the reference merges shots by the rule {reference.config.merge!r}, this model {model.merge!r}"
        )
    return departures


def main(argv: Sequence[str]) -> None:
    """The command line, the first word of which is the program's name.

    Raises:
        UserError: it is not as it should be.
    """
    values = own_flags()
    define_path(
        values,
        "workdir",
        "",
        "`DIR` of the run: import makes it of a .pth of the reference, or of a .safetensors that export wrote; export "
        "writes its newest checkpoint as .pth for the reference, or as .safetensors.",
    )
    text = f"`NAME` of the reference's model that a .pth is of: {', '.join(MODELS)}."
    flags.DEFINE_string("model", "", text, flag_values=values)
    text = "import: number `K` of labels; the shared models take any."
    flags.DEFINE_integer("way", 2, text, flag_values=values)
    define_best(values, "export: ")
    text = "export: recent torch's names of a cut encoder, as encoder.0.weight."
    flags.DEFINE_bool("numbered", False, text, flag_values=values)
    text = "export: type of the numbers in a .safetensors; float16 halves the file."
    flags.DEFINE_enum("dtype", "float32", ("float32", "float16"), text, flag_values=values)
    text = "export: `FILE` of a .safetensors beside it that holds the same trunk, which is then left out."
    define_path(values, "trunk", "", text)
    words, _ = read_flags(argv, values, COMMAND)
    if len(words) != 2 or words[0] not in ("import", "export"):
        raise UserError("import FILE or export FILE was expected (--help shows the usage)")
    if not values.workdir:
        raise UserError("--workdir=DIR is missing")
    with user_mistakes():
        file = model_file(words[1]) if words[0] == "import" else Path(words[1])
    action, workdir = words[0], Path(values.workdir)
    idle = [
        flag
        for flag in ({"import": ("best", "numbered", "dtype", "trunk"), "export": ("way",)}[action])
        if values[flag].present
    ]
    if idle:
        raise UserError(f"--{idle[0]}: is of no effect on {action}")
    if action == "import":
        import_snapshot(file, workdir, values.model, way=values.way)
        way = f" --config.model.way={values.way}" if values["way"].present else ""
        print(f"{file} is in {workdir}: a checkpoint of step 0. Evaluate it by guided_jax run --mode=eval with")
        print(f"--workdir={workdir} --config=snapshot:{values.model or words[1]}{way}")
        return
    trunk = Path(values.trunk) if values.trunk else None
    how = {"best": values.best, "numbered": values.numbered, "dtype": values.dtype, "trunk": trunk}
    departures = export_snapshot(file, workdir, values.model, **how)
    print("\n".join([f"{workdir} is in {file} ({math.ceil(file.stat().st_size / 1e6)} MB)", *departures]))


if __name__ == "__main__":
    sys.exit(start(main))
