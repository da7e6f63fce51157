"""Snapshots through the command line, on narrow twins of the reference's models."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import guided_jax
from experiments import experiment
from experiments.runs.load import Trained, load_model
from experiments.runs.workdir import open_workdir, record_start
from experiments.settings.checks import check_config
from experiments.settings.command_line import guarded
from experiments.settings.config import Config
from experiments.settings.config_files import load_config
from experiments.settings.errors import UserError
from experiments.snapshot import export_snapshot, main
from guided_jax.backbones.preprocessing import CAFFE, CAFFE_ILSVRC, TORCHVISION, Preprocessing
from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state
from guided_jax.segmentor import Segmentor
from guided_jax.snapshots.files import write_parameters
from guided_jax.snapshots.layout import from_state
from guided_jax.snapshots.models import MODELS
from tests.guided_jax.small_models import make_model
from tests.guided_jax.snapshots.narrow import make_narrow, random_state

NAME = "cofeat-late-lite"


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    make_narrow(monkeypatch)


def check_trees(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture
def file(tmp_path):
    """A state dict that needs no torch to be read."""
    save_file(random_state(NAME), tmp_path / "iter4000.safetensors")
    return tmp_path / "iter4000.safetensors"


@pytest.fixture
def workdir(file, tmp_path):
    main(["snapshot", "import", str(file), f"--model={NAME}", f"--workdir={tmp_path / 'run'}"])
    return tmp_path / "run"


def make_run(workdir, params, preprocessing=CAFFE_ILSVRC, model=None, about=None, **fields):
    """A workdir as training leaves it."""
    config = Config(model=dataclasses.replace(model or MODELS[NAME].config, **fields))
    with open_workdir(workdir, config):
        about = {**(about or {}), **record_start(workdir, config, mode="train", parallel="pmap", data={})}
        kept = Checkpoints(workdir / "checkpoints", keep_last=1, keep_best=0)
        state = create_state(jax.tree.map(jnp.asarray, params), make_optimizer(config.train), "")
        kept.save(state, {**about, "preprocessing": preprocessing.to_dict()}, None)
        kept.close()
    return workdir


def test_an_imported_snapshot_is_a_run_at_step_0(workdir, file):
    trained = load_model(workdir)
    assert trained.step == 0
    assert trained.config.model == MODELS[NAME].config
    assert trained.model.preprocessing == CAFFE_ILSVRC
    check_trees(trained.params, from_state(random_state(NAME), NAME))
    (start,) = json.loads((workdir / "run.json").read_text())
    assert start["mode"] == "import"
    about = json.loads((workdir / "checkpoints" / "0" / "about" / "metadata").read_text())
    assert about["snapshot"]["file"] == file.name
    assert about["snapshot"]["model"] == NAME
    assert len(about["snapshot"]["sha256"]) == 64


def test_it_is_evaluated_by_the_configuration_of_its_name(workdir, prepared):
    config = load_config(f"experiments/configs/snapshot.py:{NAME}")
    assert config.data.mode == "semantic"
    config.data.mode, config.data.prepared, config.data.buckets = "interactive", str(prepared), "96x96"
    config.eval.source, config.eval.points, config.eval.batch_size = "generated:val[-3:]:instance", "1,dense", 2
    result = experiment.run(config, workdir, mode="eval")
    assert result["protocol"]["step"] == 0
    assert set(result["scores"]) == {"1", "dense"}


def test_more_labels(file, tmp_path, capsys):
    main(["snapshot", "import", str(file), f"--model={NAME}", f"--workdir={tmp_path / 'run'}", "--way=4"])
    assert load_model(tmp_path / "run").config.model.way == 4
    assert f"--config=snapshot:{NAME} --config.model.way=4" in capsys.readouterr().out


def test_back_to_pth(workdir, tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="writes a .pth: pip install 'guided_jax[test]'")
    main(["snapshot", "export", str(tmp_path / "out.pth"), f"--workdir={workdir}"])
    state, expected = torch.load(tmp_path / "out.pth", weights_only=True), random_state(NAME)
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(state[key].numpy(), value, err_msg=key)
    assert "out.pth (1 MB)" in capsys.readouterr().out
    main(["snapshot", "export", f"--workdir={workdir}", str(tmp_path / "out.pth"), "--numbered"])
    assert "encoder.0.weight" in torch.load(tmp_path / "out.pth", weights_only=True)
    main(["snapshot", "import", str(tmp_path / "out.pth"), f"--model={NAME}", f"--workdir={tmp_path / 'again'}"])
    check_trees(load_model(tmp_path / "again").params, load_model(workdir).params)


@pytest.mark.parametrize("preprocessing", [TORCHVISION, CAFFE])
def test_any_model_goes_through_safetensors(tmp_path, preprocessing):
    model, params = make_model()
    run = make_run(tmp_path / "run", params, preprocessing, model.config)
    file = tmp_path / "mine.safetensors"
    main(["snapshot", "export", str(file), f"--workdir={run}"])
    assert "trunk/conv1_1/kernel" in load_file(file)
    main(["snapshot", "import", str(file), f"--workdir={tmp_path / 'again'}"])
    again = load_model(tmp_path / "again")
    check_trees(again.params, params)
    assert again.model.preprocessing == preprocessing
    assert again.config == load_config(f"experiments/configs/snapshot.py:{file}")
    assert again.config.model.preprocessing == ("torchvision" if preprocessing == TORCHVISION else "caffe")


def test_what_was_learnt_goes_along(tmp_path):
    """From the checkpoint into the file, and into the workdir that is made of it: a fold is refused there, too."""
    model, params = make_model()
    learnt = {"trained_classes": ["dog"], "trained_on": {"train": "voc:train:class"}}
    run = make_run(tmp_path / "run", params, model=model.config, about=learnt)
    main(["snapshot", "export", str(tmp_path / "mine.safetensors"), f"--workdir={run}"])
    told = guided_jax.load(tmp_path / "mine.safetensors").about
    assert told["trained_classes"] == ["dog"]
    assert told["step"] == 0
    assert told["code"]
    assert not {"command", "host", "config"} & told.keys()
    main(["snapshot", "import", str(tmp_path / "mine.safetensors"), f"--workdir={tmp_path / 'again'}"])
    again = load_model(tmp_path / "again").about
    assert {name: again[name] for name in learnt} == learnt
    assert again["snapshot"]["file"] == "mine.safetensors"


class TestWhichModel:
    """Some of the reference's models have the same parameters and the same configuration here."""

    @pytest.fixture
    def exported(self, tmp_path, monkeypatch):
        def name_of(config, model=""):
            names = []
            monkeypatch.setattr("experiments.snapshot.load_model", lambda workdir, best: trained)
            monkeypatch.setattr("experiments.snapshot.write_snapshot", lambda file, name, *_, **__: names.append(name))
            trained = Trained(config, Segmentor(config.model, CAFFE_ILSVRC), {}, {"step": 0})
            export_snapshot(tmp_path / "out.pth", tmp_path, model)
            return names[0]

        return name_of

    def test_the_mode_decides(self, exported):
        config = Config(model=MODELS["cofeat-late"].config)
        assert exported(config) == "interactive-late-glob"
        config.data.mode = "video"
        assert exported(config) == "cofeat-late"
        config.data.mode = "interactive"
        config.model = MODELS["cofeat-late-lite-unshared"].config
        assert exported(config) == "interactive-late-glob@image-seg"

    def test_what_was_imported_is_exported(self, exported):
        config = Config(name="snapshot-fcn32s-lite", model=MODELS["fcn32s-lite"].config)
        assert exported(config) == "fcn32s-lite"
        assert exported(dataclasses.replace(config, name="other")) == "fgbg-lite"

    def test_it_may_be_named(self, exported):
        config = Config(model=MODELS["cofeat-late"].config)
        assert exported(config, "dios-late-glob") == "interactive-late-glob"
        assert exported(config, "cofeat-late") == "cofeat-late"
        message = "--model=fcn32s: the model of the workdir is the reference's interactive-late-glob, cofeat-late"
        with pytest.raises(UserError, match=message):
            exported(config, "fcn32s")


def test_departures_are_told(tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="writes a .pth: pip install 'guided_jax[test]'")
    name = "cofeat-late-lite-unshared"
    params = from_state(random_state(name), name)
    run = make_run(tmp_path / "run", params, CAFFE, MODELS[name].config, merge="annotating")
    main(["snapshot", "export", str(tmp_path / "out.pth"), f"--workdir={run}", f"--model={name}"])
    out = capsys.readouterr().out
    assert "the reference merges shots by the rule 'every', this model 'annotating'" in out
    assert "the reference subtracts the mean (104.00" in out
    assert torch.load(tmp_path / "out.pth", weights_only=True).keys() == random_state(name).keys()


@pytest.mark.parametrize(
    ("preprocessing", "model", "message"),
    [
        (TORCHVISION, None, "error: the reference has no such model: its images are bgr .*, those of this model rgb"),
        (CAFFE, "tiny", r"error: the reference has no such model: its .* has model\.backbone='narrow' where this has"),
    ],
)
def test_what_the_reference_has_not(tmp_path, capsys, preprocessing, model, message):
    if model:
        tiny, params = make_model()
        run = make_run(tmp_path / "run", params, preprocessing, tiny.config)
    else:
        run = make_run(tmp_path / "run", from_state(random_state(NAME), NAME), preprocessing)
    assert guarded(lambda: main(["snapshot", "export", str(tmp_path / "out.pth"), f"--workdir={run}"])) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(message, error)
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "import FILE or export FILE was expected"),
        (["convert", "a.pth"], "import FILE or export FILE was expected"),
        (["import", "a.pth"], "--workdir=DIR is missing"),
        (["import", "a.pth", "--workdir=w"], "--model=NAME is missing: a.pth does not tell its model; one of fgbg,"),
        (["import", "a.pth", "--workdir=w", "--model=fcn"], "'fcn': the reference has no such model; it has fgbg,"),
        (["import", "a.pth", "--workdir=w", "--model=fcn32s"], "a.pth: no such file of weights"),
        (["import", "a.safetensors", "--workdir=w"], "a.safetensors: no such file of weights"),
        (
            ["import", "a.pth", "--workdir=w", "--model=cofeat-early", "--way=3"],
            "cofeat-early: is for 2 labels, not for 3",
        ),
        (["import", "a.pth", "--workdir=w", "--best"], "--best: is of no effect on import"),
        (["import", "a.pth", "--wordkir=w"], r"--wordkir: no such flag; did you mean workdir\?"),
        (["export", "a.npz", "--workdir=w"], r"a.npz: the name must end in .pth \(for the reference\) or .safetensors"),
        (["export", "a.pth", "--workdir=w"], r"w: is not the workdir of a run"),
        (["import", "a.safetensors", "--workdir=w", "--dtype=float16"], "--dtype: is of no effect on import"),
        (["import", "a.safetensors", "--workdir=w", "--trunk=b.safetensors"], "--trunk: is of no effect on import"),
        (["export", "a.pth", "--workdir=w", "--way=3"], "--way: is of no effect on export"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        main(["snapshot", *words])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_what_a_workdir_holds_is_kept(workdir, file, tmp_path):
    with pytest.raises(UserError, match=r"holds a checkpoint of step 0 already; give a new folder"):
        main(["snapshot", "import", str(file), f"--model={NAME}", f"--workdir={workdir}"])
    with pytest.raises(UserError, match=r"is neither empty nor a workdir"):
        main(["snapshot", "import", str(file), f"--model={NAME}", f"--workdir={tmp_path}"])
    with pytest.raises(UserError, match=r"is of another config: name: .snapshot-cofeat-late-lite. \(workdir\)"):
        other = tmp_path / "other.safetensors"
        save_file(random_state("fcn32s"), other)
        main(["snapshot", "import", str(other), "--model=fcn32s", f"--workdir={workdir}"])
    with pytest.raises(UserError, match=r"a \.safetensors tells its model by itself; leave --model out"):
        main(["snapshot", "export", str(tmp_path / "out.safetensors"), f"--workdir={workdir}", f"--model={NAME}"])


def test_a_preprocessing_without_a_name(tmp_path):
    model, params = make_model()
    odd = Preprocessing("rgb", 1.0, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0))
    write_parameters(tmp_path / "odd.safetensors", model.config, params, odd)
    with pytest.raises(UserError, match=r"its preprocessing \(rgb .*\) is none of caffe, caffe-ilsvrc"):
        main(["snapshot", "import", str(tmp_path / "odd.safetensors"), f"--workdir={tmp_path / 'run'}"])


def test_help(capsys):
    assert guarded(lambda: main(["snapshot", "--help"])) == 0
    assert "cofeat-late-lite-unshared" in capsys.readouterr().out


def test_the_configuration_of_every_model():
    for name, model in MODELS.items():
        config = load_config(f"experiments/configs/snapshot.py:{name}")
        assert config.model == model.config
        check_config(dataclasses.replace(config), training=False)
