"""The plan of the house, read from its imports: which way they run, without circles, in folders of few files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("guided_jax", "data_pipelines", "experiments")
FILES_IN_A_FOLDER = 16

ROOMS = (
    {"settings"},
    {"runs", "configs"},
    {"evaluation", "drawing"},
    {"sweeping", "segmenting"},
    {"reports"},
    {"experiment"},
    {"benchmarks"},
)
"""Of `experiments`, from the ground up: each imports from those below it. The commands lie above all of them."""


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))}


def imports_of(module: str, *, inside: bool = True) -> Iterator[str]:
    """The modules of ours that a module imports; those inside functions and type checks too, unless told otherwise."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    for node in ast.walk(tree) if inside else tree.body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in within]
        yield from (name for name in dict.fromkeys(names) if name.partition(".")[0] in PACKAGES)


def level_of(module: str) -> int:
    room = module.split(".")[1]
    return next((level for level, rooms in enumerate(ROOMS) if room in rooms), len(ROOMS))


def test_packages_import_one_way():
    allowed = {"experiments": PACKAGES, "data_pipelines": ("data_pipelines",), "guided_jax": ("guided_jax",)}
    wrong = [
        f"{module} -> {name}"
        for module in MODULES
        for name in imports_of(module)
        if name.partition(".")[0] not in allowed[module.partition(".")[0]]
        and (module.partition(".")[0], name) != ("data_pipelines", "guided_jax.episode")
    ]
    assert not wrong


def test_the_border_is_light():
    """Loader processes import the border, and neither JAX nor Flax with it."""
    for module in ("guided_jax", "guided_jax.episode"):
        tree = ast.parse(MODULES[module].read_text("utf-8"))
        roots = {
            name.partition(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        }
        assert roots <= {"typing", "numpy", "jaxtyping"}, module


def test_rooms_import_downwards():
    inside = [module for module in MODULES if module.startswith("experiments.")]
    wrong = [
        f"{module} -> {name}"
        for module in inside
        for name in imports_of(module)
        if name.startswith("experiments.") and name.split(".")[1] != module.split(".")[1]
        if level_of(name) > level_of(module) or (level_of(name) == level_of(module) and level_of(module) < len(ROOMS))
    ]
    assert not wrong


def test_every_room_has_its_place():
    folders = {folder.name for folder in (ROOT / "experiments").iterdir() if any(folder.glob("*.py"))}
    assert folders == set().union(*ROOMS) - {"experiment"}


def test_there_is_no_circle():
    edges = {module: set(imports_of(module, inside=False)) - {module} for module in MODULES}
    while leaves := {module for module, names in edges.items() if not names & edges.keys()}:
        edges = {module: names for module, names in edges.items() if module not in leaves}
    assert not edges, f"in or above a circle: {sorted(edges)}"


@pytest.mark.parametrize("top", [*PACKAGES, "docs", "tests"])
def test_no_folder_holds_too_many_files(top):
    folders = [ROOT / top, *(folder for folder in (ROOT / top).rglob("*") if folder.is_dir())]
    counts = {str(f.relative_to(ROOT)): sum(e.name != "__init__.py" for e in f.glob("*.py")) for f in folders}
    assert {folder: count for folder, count in counts.items() if count > FILES_IN_A_FOLDER} == {}
    assert sum(counts.values()) > 0


BY_NAME = {
    "guided_jax/model_config.py": 'backbone: str = "vgg16"',
    "guided_jax/backbones/table.py": "",
    "guided_jax/shipped/": "",
    "guided_jax/snapshots/": "",
    "experiments/configs/": "",
    "experiments/benchmarks/": "",
    "experiments/reports/published.py": "",
}
"""Where a backbone may be named, and in what words alone: the paper's default, the table, the shipped guide, the models
of the reference, the experiments, the benchmarks, and what figures were published."""


def test_no_backbone_is_named_outside_its_folder():
    folder = ROOT / "guided_jax" / "backbones"
    families = sorted(each.parent.name for each in folder.glob("*/__init__.py"))
    assert "vgg" in families
    wrong = []
    for file in MODULES.values():
        path = file.relative_to(ROOT).as_posix()
        allowed = next((words for place, words in BY_NAME.items() if path.startswith(place)), None)
        others = [each for each in families if f"backbones/{each}/" not in path]
        name = re.compile(rf"(?<![a-z])({'|'.join(others) or '(?!)'})", re.IGNORECASE)
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if name.search(line) and (allowed is None or allowed not in line):
                wrong.append(f"{path}:{number}: {line.strip()}")
    assert not wrong


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import guided_jax.episode", ["guided_jax.episode"]),
        ("from guided_jax import episode", ["guided_jax.episode"]),
        ("from guided_jax.episode import Episode", ["guided_jax.episode"]),
        ("def f():\n    import experiments.run", ["experiments.run"]),
        ("import numpy", []),
    ],
)
def test_imports_are_read(source, found, tmp_path, monkeypatch):
    file = tmp_path / "some.py"
    file.write_text(source)
    monkeypatch.setitem(MODULES, "some", file)
    assert list(imports_of("some")) == found
