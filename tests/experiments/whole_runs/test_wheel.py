"""The package as a user gets it: a wheel in an environment of its own, started from an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from guided_jax.shipped import SHIPPED

ROOT = Path(__file__).parents[3]
PACKAGES = "guided_jax", "data_pipelines", "experiments"
SOURCES = *PACKAGES, "tests", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"
SETTINGS = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
# The command itself, on fewer images: thousands are no matter of the package.
QUICKSTART = """
import sys

from experiments import quickstart
from experiments.__main__ import console
from experiments.configs.quickstart import get_config


def of_few_images():
    config = get_config()
    config.data.train, config.eval.source = "generated:val:instance", "generated:val[:5]:instance"
    return config


quickstart.get_config = of_few_images
sys.argv = ["guided_jax", "quickstart", *sys.argv[1:]]
console()
"""
CLICK = """
import sys
from pathlib import Path

import jax
import numpy as np

import guided_jax

assert Path(guided_jax.__file__).is_relative_to(sys.prefix), guided_jax.__file__
model, trained = guided_jax.load("guide.safetensors"), guided_jax.load("quickstart/guided")
assert jax.tree.structure(model.params) == jax.tree.structure(trained.params)
jax.tree.map(np.testing.assert_array_equal, model.params, trained.params)
assert model.preprocessing == trained.preprocessing
session = guided_jax.Session(model)
session.add("photo", np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
session.click("photo", 12, 34, 1)
mask = session.mask("photo")
assert (mask.shape, mask.dtype) == ((48, 64), np.uint8) and set(np.unique(mask)) <= {0, 1}
assert guided_jax.load().config.inference == "decoder"  # the guide that comes with the package
"""


def run(*words, cwd: Path) -> str:
    """What a command prints; the checkout is on no path of it."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    ended = subprocess.run(
        [*map(str, words)], cwd=cwd, env={**environ, **SETTINGS}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{words}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built of a copy, since a build leaves folders beside the sources; with the tests' setuptools, from no network."""
    root = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    pip = sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir=built", root, cwd=root)
    (built,) = (root / "built").iterdir()
    return built


@pytest.fixture(scope="module")
def binaries(wheel, tmp_path_factory) -> Path:
    """The folder of commands of an environment that has the wheel, and all but the package from this one."""
    root = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", root, cwd=root)
    python = root / "bin" / "python"
    (packages,) = root.glob("lib/python*/site-packages")
    # Folders that a .pth adds come after the environment's own, and no .pth in them counts: not that of an editable
    # installation either.
    here = dict.fromkeys(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib"))
    (packages / "dependencies.pth").write_text("\n".join(here))
    pip = sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python
    run(*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=root)
    return root / "bin"


def test_the_wheel_has_every_module_and_no_test(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    guides = {f"guided_jax/shipped/{each.file}" for each in SHIPPED.values()}
    page = {str(path.relative_to(ROOT)) for path in (ROOT / "guided_jax/annotate/page").rglob("*") if path.is_file()}
    shared = {"guided_jax/shipped/vgg16.safetensors", "guided_jax/shipped/MODEL_CARD.md"}
    assert len(page) > 10 and names == modules | guides | page | shared


def test_it_trains_exports_and_segments_from_an_empty_folder(binaries, tmp_path):
    command, python = binaries / "guided_jax", binaries / "python"
    assert "quickstart" in run(command, "--help", cwd=tmp_path)
    run(python, "-c", QUICKSTART, "--steps=2", "--workdir=quickstart", cwd=tmp_path)
    assert (tmp_path / "quickstart" / "picture.png").stat().st_size
    run(command, "snapshot", "export", "guide.safetensors", "--workdir=quickstart/guided", cwd=tmp_path)
    run(python, "-c", CLICK, cwd=tmp_path)
