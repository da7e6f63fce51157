"""Files of experiments: found by name or path, loaded, called; what is wrong with one is one line."""

import contextlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import experiments
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import FieldError, from_dict, nearest, to_dict


def load_config(argument: str) -> Config:
    """Calls `get_config()` of a file, or `get_config("text")` for `FILE.py:text`; checks the types of the fields.

    What is no path here is looked for by name among the experiments that ship: `few_shot:0` is
    `experiments/configs/few_shot.py:0`, which is found from any folder, too.

    Raises:
        UserError: there is no such file, it raises, has no `get_config`, or that does not give a sound `Config`.
    """
    module, words = load_module(argument)
    config = call_module(module, "get_config", words, argument)
    path = argument.partition(":")[0]
    if not isinstance(config, Config):
        raise UserError(
            f"--config={path}: get_config() gives a {type(config).__name__}, not a Config (experiments.settings.config)"
        )
    try:
        return from_dict(to_dict(config), f"--config={path}")
    except FieldError as error:
        raise UserError(str(error)) from error


def load_module(argument: str) -> tuple[ModuleType, list[str]]:
    """The module of `FILE.py` or `FILE.py:text`, and the words for its functions: none, or the text.

    Raises:
        UserError: there is no such file, or it raises.
    """
    path, _, text = argument.partition(":")
    file = find_config(path)
    spec = importlib.util.spec_from_file_location("experiment_config", file)
    if spec is None:
        raise UserError(f"--config={path}: not a Python file (.py)")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as under python -m, so that a config can import its neighbours
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with _one_line(path, str(file)):
        spec.loader.exec_module(module)
    return module, [text] if text else []


def find_config(path: str) -> Path:
    """The file of an experiment: as given, of an experiment that ships by its name, or by its path in the packages.

    Raises:
        UserError: there is none; with those that are named alike.
    """
    shipped = shipped_configs()
    inside = Path(experiments.__file__).parents[1] / path
    with contextlib.suppress(RuntimeError, OSError, ValueError):  # no such user; a name too long; a null
        for file in (Path(path).expanduser(), shipped.get(path, inside)):
            if file.is_file():
                return file
    raise UserError(f"--config={path}: no such file{nearest(Path(path).stem, shipped)}; there are: {list_configs()}")


def call_module(module: ModuleType, name: str, words: list[str], argument: str) -> Any:
    """Calls a function of a config file with the words that follow its name in `argument`; a generator becomes a list.

    Raises:
        UserError: there is no such function, it takes other words, or it raises.
    """
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"--config={argument.partition(':')[0]}: has no function {name}()")
    try:
        inspect.signature(function).bind(*words)
    except TypeError as error:
        raise UserError(f"--config={argument}: {name}() does not take what follows the colon: {error}") from error
    with _one_line(argument, module.__file__):
        result = function(*words)
        return list(result) if inspect.isgenerator(result) else result


@contextlib.contextmanager
def _one_line(argument: str, file: str) -> Iterator[None]:
    """Around the code of a config file: whatever it raises becomes a `UserError` that says where."""
    try:
        yield
    except UserError as error:
        raise UserError(f"--config={argument}: {error}") from error
    except SyntaxError as error:  # of the file itself, or of one that it imports
        raise UserError(f"--config={argument}: {error.msg} ({error.filename}, line {error.lineno})") from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f" ({file}, line {lines[-1]})" if lines else ""
        raise UserError(f"--config={argument}: {type(error).__name__}: {error}{where}") from error


def shipped_configs() -> dict[str, Path]:
    """The experiments that ship, by name: the modules below `experiments.configs` that give a config."""
    files = sorted((Path(experiments.__file__).parent / "configs").rglob("*.py"))
    return {file.stem: file for file in files if "\ndef get_config(" in file.read_text("utf-8")}


def list_configs() -> str:
    """The names of the experiments that ship, for a message."""
    return ", ".join(shipped_configs())
