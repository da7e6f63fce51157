"""Serves a page on this machine on which objects are marked by clicks, in images or along a clip.

    guided_jax annotate [--model=GUIDE] [FOLDER|VIDEO|IMAGES]

Open the address that it prints in a browser. What is annotated is saved at once; `docs/annotate.md` says where.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments.settings.checks import check_writable
from experiments.settings.command_flags import define_path, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.help_texts import Command
from guided_jax.shipped import DEFAULT, SHIPPED

COMMAND = Command("guided_jax annotate", __doc__, words="[FOLDER|VIDEO|IMAGES]")

BUDGET = 1 << 30
"""Bytes of encoded images that a tab may hold."""

FOLDER = ".guided_jax"
"""Where sessions are kept, in the folder of the images."""


class Asked(NamedTuple):
    """What the command line asks for.

    Attributes:
        paths: a folder, a video, or images; none: images are uploaded.
        model: name or path of the model.
        host: address to bind to.
        port: to bind to; 0: a free one.
        workdir: where sessions are kept.
    """

    paths: tuple[Path, ...]
    model: str
    host: str
    port: int
    workdir: Path


def parse(argv: Sequence[str]) -> Asked:
    """Reads a command line, the first word of which is the program's name.

    Raises:
        UserError: it is not as it should be.
    """
    values = own_flags()
    text = (
        f"`GUIDE`: a .safetensors, the workdir of a run, or a guide that comes with the package: {', '.join(SHIPPED)}."
    )
    define_path(values, "model", DEFAULT, text)
    text = (
        "`ADDRESS` to listen at. At any other than this machine's own, whoever has the token that is printed may see "
        "and change what is annotated, and the traffic is not encrypted."
    )
    flags.DEFINE_string("host", "127.0.0.1", text, flag_values=values)
    flags.DEFINE_integer(
        "port", 8090, "`PORT` to listen at; 0 is a free one.", lower_bound=0, upper_bound=65535, flag_values=values
    )
    text = f"`DIR` where sessions are kept; without it {FOLDER} in the folder of the images."
    define_path(values, "workdir", "", text)
    words, _ = read_flags(argv, values, COMMAND)
    paths = tuple(map(Path, words))
    if missing := next((path for path in paths if not path.exists()), None):
        raise UserError(f"{missing}: no such file or folder; a folder of images, a video or images were expected")
    if len(paths) > 1 and (folder := next((path for path in paths if path.is_dir()), None)):
        raise UserError(f"{folder}: is a folder; give one folder, or one video, or images")
    beside = paths[0] if paths and paths[0].is_dir() else paths[0].parent if paths else Path()
    workdir = Path(values.workdir) if values.workdir else beside / FOLDER
    try:
        check_writable(workdir, "--workdir")
    except UserError as error:
        raise UserError(f"{error}; name another folder: --workdir=DIR") from error
    return Asked(paths, values.model, values.host, values.port, workdir)


def main(argv: Sequence[str]) -> None:
    """The command line; serves until it is stopped.

    Raises:
        UserError: what a user can mend.
    """
    asked = parse(argv)
    try:
        from guided_jax.annotate.web import server
    except ModuleNotFoundError as error:
        raise UserError(f"annotate needs {error.name}: pip install 'guided_jax[annotate]'") from error
    from guided_jax.annotate.files.gallery import open_paths
    from guided_jax.loading import load
    from guided_jax.session import Session

    with user_mistakes():
        gallery = open_paths(asked.paths)
        try:
            bound = server.bind(asked.host, asked.port)
        except OSError as error:
            raise UserError(
                f"--port={asked.port} at {asked.host}: {error.strerror}; another port may be free"
            ) from error
        with bound:
            served = server.make_server(
                gallery,
                Session(load(asked.model), budget=BUDGET),
                asked.workdir,
                model=asked.model if asked.model in SHIPPED else Path(asked.model).name,
                host=asked.host,
                port=bound.getsockname()[1],
            )
            print(f"model: {asked.model}" + (f", {SHIPPED[asked.model].about}" if asked.model in SHIPPED else ""))
            print(f"{len(gallery.pictures)} images; sessions are kept in {asked.workdir}")
            print(f"open {served.address}", flush=True)
            server.uvicorn_server(served.app).run(sockets=[bound])


if __name__ == "__main__":
    sys.exit(start(main))
