"""The library's face: what `import guided_jax` gives, and a model from a file or from the folder of a run."""

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import guided_jax
from guided_jax.backbones.preprocessing import CAFFE
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state
from guided_jax.loaded_model import LoadedModel
from guided_jax.model_config import ModelConfig
from guided_jax.snapshots.files import TOLD, read_parameters, write_parameters
from tests.guided_jax.small_models import small_model

IMAGE = np.random.default_rng(0).integers(0, 256, (41, 50, 3), np.uint8)
IMAGE[:, 25:] //= 8  # so that not all of it has one label
ABOUT = {
    "preprocessing": CAFFE.to_dict(),
    "trained_classes": ["dog"],
    "trained_on": {"train": "voc:train:class"},
    "code": "abc",
    "host": "mine",
}


def make_workdir(path: Path, scores=({},), *, about=ABOUT, freeze="trunk", name="tiny", **fields) -> Path:
    """A run as training leaves it: checkpoint `i` after `10 i` updates, with the parameters of seed `i`."""
    kept = Checkpoints(path / "checkpoints", keep_last=len(scores), keep_best=0)
    for number, metrics in enumerate(scores, 1):
        model, params = small_model(number, **fields)
        state = create_state(params, make_optimizer(TrainConfig(optimizer="adamw")), freeze)
        kept.save(state._replace(step=jnp.asarray(10 * number, jnp.int32)), about, metrics)
    kept.close()
    (path / "config.json").write_text(json.dumps({"name": name, "seed": 1, "model": dataclasses.asdict(model.config)}))
    return path


def rewrite_config(workdir: Path, change) -> None:
    values = json.loads((workdir / "config.json").read_text())
    change(values)
    (workdir / "config.json").write_text(json.dumps(values))


def check_same(loaded: LoadedModel, params: dict) -> None:
    assert jax.tree.structure(loaded.params) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


def clicked(session) -> tuple[np.ndarray, np.ndarray]:
    session.add("photo", IMAGE)
    session.click("photo", 12, 34, 1)
    session.click("photo", 30, 8, 0)
    return session.mask("photo"), session.logits("photo")


def modules_after(code: str) -> set[str]:
    """The packages that are imported in a fresh process after some lines."""
    lines = f"import sys\n{code}\nprint('\\n'.join({{each.partition('.')[0] for each in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True, text=True).stdout.split())


class TestFace:
    def test_the_import_is_light(self):
        heavy = {"jax", "flax", "numpy", "jaxtyping", "optax", "orbax", "safetensors", "h5py", "experiments"}
        assert not modules_after("import guided_jax; dir(guided_jax)") & heavy
        assert not modules_after("import guided_jax; guided_jax.Episode") & (heavy - {"numpy", "jaxtyping"})

    def test_loading_a_file_is_lighter_than_training(self, tmp_path):
        model, params = small_model()
        write_parameters(tmp_path / "a.safetensors", model.config, params, CAFFE)
        others = {"experiments", "data_pipelines", "tensorflow_datasets", "grain", "optax", "orbax", "tensorstore"}
        assert not modules_after(f"import guided_jax; guided_jax.load({str(tmp_path / 'a.safetensors')!r})") & others

    def test_loading_a_workdir_needs_no_data_set(self, tmp_path):
        others = {"experiments", "data_pipelines", "tensorflow_datasets", "grain"}
        code = f"import guided_jax; guided_jax.load({str(make_workdir(tmp_path))!r}); guided_jax.Session"
        assert not modules_after(code) & others

    def test_the_names(self):
        assert set(guided_jax.__all__) <= set(dir(guided_jax))
        for name in guided_jax.__all__:
            assert getattr(guided_jax, name) is not None
        assert inspect.isfunction(guided_jax.load)
        assert guided_jax.ModelConfig is ModelConfig
        assert guided_jax.__version__[0].isdigit() or guided_jax.__version__ == "unknown"

    def test_no_module_takes_the_place_of_a_name(self):
        """An imported submodule becomes an attribute of its package."""
        code = "import pkgutil, guided_jax; print(*(each.name for each in pkgutil.iter_modules(guided_jax.__path__)))"
        modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        assert "session" in modules.split()
        assert not set(modules.split()) & set(guided_jax.__all__)

    def test_another_name(self):
        with pytest.raises(AttributeError, match=r"^module 'guided_jax' has no attribute 'Sessions'$"):
            _ = guided_jax.Sessions
        with pytest.raises(ImportError, match="cannot import name 'Sessions'"):
            from guided_jax import Sessions  # noqa: F401


@pytest.mark.parametrize(
    ("freeze", "fields"),
    [
        ("", {}),
        ("trunk", {}),
        ("trunk, neck", {"sharing": "unshared", "way": 3}),
        ("trunk", {"dtype": "bfloat16", "locality": "both"}),
        ("trunk", {"fusion": "stack", "sharing": "unshared", "mask": "fixed"}),
    ],
)
def test_a_workdir_and_its_export_give_the_same(tmp_path, freeze, fields):
    model, params = small_model(1, **fields)
    of_run = guided_jax.load(make_workdir(tmp_path / "run", freeze=freeze, **fields))
    assert isinstance(of_run.model, guided_jax.Segmentor)
    assert (of_run.config, of_run.preprocessing) == (model.config, CAFFE)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(of_run.params))
    check_same(of_run, params)
    file = tmp_path / "guide.safetensors"
    write_parameters(file, of_run.config, of_run.params, of_run.preprocessing, of_run.about)
    of_file = guided_jax.load(str(file))
    assert (of_file.config, of_file.preprocessing) == (model.config, CAFFE)
    check_same(of_file, params)
    expected = clicked(guided_jax.Session(model, params))
    assert np.ptp(expected[1][1] - expected[1][0]) > 0
    for loaded in (of_run, of_file):
        for ours, theirs in zip(clicked(guided_jax.Session(loaded)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_what_is_known_of_the_training(tmp_path):
    loaded = guided_jax.load(make_workdir(tmp_path / "run", about={**ABOUT, "name": "of its evaluation"}))
    assert loaded.about == {"name": "tiny", "step": 10, **ABOUT}
    write_parameters(tmp_path / "a.safetensors", loaded.config, loaded.params, loaded.preprocessing, loaded.about)
    told = guided_jax.load(tmp_path / "a.safetensors").about
    assert told == {name: loaded.about[name] for name in TOLD if name in loaded.about}
    assert told.keys() == {"name", "step", "trained_classes", "trained_on", "code"}


def test_which_checkpoint(tmp_path):
    run = make_workdir(tmp_path, [{"pos_iu": 0.4}, {"pos_iu": 0.9}, {"pos_iu": 0.6}])
    for options, number in (({}, 3), ({"best": True}, 2), ({"step": 10}, 1), ({"step": 30}, 3)):
        loaded = guided_jax.load(run, **options)
        assert loaded.about["step"] == 10 * number
        check_same(loaded, small_model(number)[1])
    with pytest.raises(ValueError, match=r"holds no checkpoint of step 15; there are those of steps 10, 20, 30$"):
        guided_jax.load(run, step=15)
    with pytest.raises(ValueError, match=r"best and step=10 ask for two checkpoints; give one of them$"):
        guided_jax.load(run, step=10, best=True)


def test_a_workdir_of_an_older_version(tmp_path):
    """Its configuration lacks what came later, and its checkpoint says less of itself."""

    def forget(values):
        del values["name"], values["model"]["locality"], values["model"]["mask"]

    run = make_workdir(tmp_path, about={"preprocessing": CAFFE.to_dict()})
    rewrite_config(run, forget)
    loaded = guided_jax.load(run)
    model, params = small_model(1)
    assert loaded.config == model.config
    assert loaded.about == {"name": "", "step": 10, "preprocessing": CAFFE.to_dict()}
    check_same(loaded, params)


class TestErrors:
    """One line each, of what is wrong and where."""

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none", "no such file or folder; a .safetensors, the workdir of a run or a name"),
            ("none.pth", "no such file or folder; a .safetensors, the workdir of a run or a name"),
            ("notes.txt", "is neither a .safetensors nor the workdir of a run"),
            ("folder", r"is not the workdir of a run \(it holds no config.json\)"),
            (
                "model.pth",
                "a .pth does not tell its model; make a workdir of it, and load that: guided_jax snapshot import "
                "model.pth --model=NAME --workdir=DIR",
            ),
            (
                "broken.safetensors",
                r"cannot be read as .safetensors \(SafetensorError: .*\): the file is broken",
            ),
        ],
    )
    def test_paths(self, tmp_path, name, message):
        (tmp_path / "folder").mkdir()
        for file in ("notes.txt", "model.pth", "broken.safetensors"):
            (tmp_path / file).write_text("x")
        with pytest.raises(ValueError, match=f"{name}: {message}"):
            guided_jax.load(tmp_path / name)

    def test_choosing_from_a_file(self, tmp_path):
        (tmp_path / "a.safetensors").touch()
        for options in ({"best": True}, {"step": 0}):
            with pytest.raises(ValueError, match="holds one model; best and step choose among the checkpoints of a"):
                guided_jax.load(tmp_path / "a.safetensors", **options)

    @pytest.fixture
    def run(self, tmp_path):
        return make_workdir(tmp_path / "run")

    def test_no_checkpoint_yet(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model": {}}))
        with pytest.raises(ValueError, match=r"holds no checkpoint; train first$"):
            guided_jax.load(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["config.json"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda values: values.pop("model"), r"config\.json: the field model is missing$"),
            (lambda values: values.update(model=3), r"config\.json: model must be a group of fields, not 3$"),
            (
                lambda values: values["model"].update(localty="local"),
                r"config\.json: no field is called model\.localty; did you mean locality\?$",
            ),
            (lambda values: values["model"].update(way="2"), r"config\.json: model\.way='2' is not of type int$"),
            (lambda values: values["model"].update(fusion="x"), r"config\.json: model\.fusion='x' is not one of late"),
            (
                lambda values: values["model"].update(feature_width=9),
                r"run: the checkpoint of step 10: its parameters are not those of its model: "
                r"head/fc7/bias is \(16,\), not \(18,\), and 4 more$",
            ),
        ],
    )
    def test_configurations(self, run, change, message):
        rewrite_config(run, change)
        with pytest.raises(ValueError, match=message):
            guided_jax.load(run)

    @pytest.mark.parametrize("text", ["{", "[]"])
    def test_no_json(self, run, text):
        (run / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json: (cannot be read: .*|is not a config)$"):
            guided_jax.load(run)

    def test_a_checkpoint_that_lacks_a_field(self, tmp_path):
        run = make_workdir(tmp_path / "run", about={"code": "abc"})
        with pytest.raises(ValueError, match=r"step 10 does not tell how .*: the field preprocessing is missing$"):
            guided_jax.load(run)
        broken = make_workdir(tmp_path / "broken", about={"preprocessing": {"channels": "rgb"}})
        with pytest.raises(ValueError, match=r"broken: the checkpoint of step 10: a preprocessing has the fields"):
            guided_jax.load(broken)


class TestModelAndParams:
    """A session and a video take what is loaded, or both parts."""

    @pytest.mark.parametrize("opened", [guided_jax.Session, guided_jax.VideoSegmentor])
    def test_errors(self, opened):
        model, params = small_model()
        with pytest.raises(ValueError, match="a Segmentor has no parameters of its own"):
            opened(model)
        with pytest.raises(ValueError, match="params are given beside a model that holds its own"):
            opened(LoadedModel(model, params, {}), params)

    def test_a_video(self, tmp_path):
        model, params = small_model(4)
        write_parameters(tmp_path / "a.safetensors", model.config, params, CAFFE)
        annotation = np.full((1, 1, 41, 50), 255, np.uint8)
        annotation[0, 0, 10, 10], annotation[0, 0, 30, 40] = 1, 0

        def segment(video):
            return list(video.segment(video.guide(IMAGE[None], annotation, way=2), [IMAGE, IMAGE[:, ::-1]]))

        expected = segment(guided_jax.VideoSegmentor(model, params))
        assert len(np.unique(expected)) > 1
        loaded = read_parameters(tmp_path / "a.safetensors")
        np.testing.assert_array_equal(segment(guided_jax.VideoSegmentor(loaded)), expected)
