"""One config and one process a workdir."""

import importlib.metadata
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import experiments
from data_pipelines import disk
from experiments.runs.workdir import code_version, open_workdir, record_start
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import field_types, to_dict

DATA = {"generated-train": "abc"}

MAY_CHANGE = {
    *("train.steps", "train.accumulation", "train.log_every", "train.evaluate_every", "train.checkpoint_every"),
    *("train.keep_last", "train.keep_best", "data.root", "data.prepared", "data.workers"),
    *("eval.batch_size", "eval.save", "eval.name", "train.skip_damaged"),
}
"""All that changes no number of a run whose learning rate is constant."""

OF_THE_DATA = {
    *("root", "prepared", "train", "classes", "lists", "balance", "mode", "crops", "shots", "points", "min_area"),
    *("buckets", "max_side", "flip", "workers", "skip_broken", "evenness", "window"),
}
OF_THE_EVALUATION = {
    *("source", "classes", "lists", "protocol", "draws", "force_seen", "mode", "shots", "min_area", "points"),
    *("headline", "batch_size", "limit", "during", "checkpoint", "save", "name", "guided_filter"),
}
OF_THE_TUNING = (
    "steps",
    "freeze",
    "optimizer",
    "learning_rate",
    "rates",
    "momentum",
    "weight_decay",
    "balance",
    "pixels",
    "augment",
    "together",
)
MAY_CHANGE_IN_EVAL = {
    *MAY_CHANGE,
    "seed",
    *(f"data.{name}" for name in OF_THE_DATA),
    *(f"eval.{name}" for name in OF_THE_EVALUATION),
    *(f"tune.{name}" for name in OF_THE_TUNING),
}
"""A trained model can be scored on anything."""


def start(path, config, mode="train_and_eval", data=DATA) -> bool:
    with open_workdir(path, config, mode) as resumed:
        record_start(path, config, mode=mode, parallel="pmap", data=data)
    return resumed


def changed(name, value) -> Config:
    config = Config()
    *groups, field = name.split(".")
    node = config
    for group in groups:
        node = getattr(node, group)
    setattr(node, field, value)
    return config


def test_a_new_run_and_its_resumption(tmp_path):
    path = tmp_path / "a" / "run"
    assert not start(path, Config())
    assert start(path, Config())
    assert json.loads((path / "config.json").read_text()) == to_dict(Config())
    first, second = json.loads((path / "run.json").read_text())
    assert first["data"] == second["data"] == DATA
    assert first["devices"] == {
        "kind": jax.devices()[0].device_kind,
        "platform": "cpu",
        "count": jax.device_count(),
        "processes": 1,
    }
    assert first["packages"]["jax"] == jax.__version__
    assert first["parallel"] == "pmap"
    assert sorted(entry.name for entry in path.iterdir()) == [".lock", "config.json", "run.json"]


def test_a_start_that_fails_binds_nothing(tmp_path):
    with pytest.raises(RuntimeError), open_workdir(tmp_path, Config()):
        raise RuntimeError
    assert not start(tmp_path, changed("train.momentum", 0.5))


def test_another_config_is_refused(tmp_path):
    start(tmp_path, Config())
    other = changed("train.momentum", 0.5)
    other.seed = 7
    message = (
        r"of another config: seed: 1337 .workdir. != 7 .now.; train\.momentum: 0\.99 .workdir. != 0\.5 .now.; give"
    )
    with pytest.raises(UserError, match=message), open_workdir(tmp_path, other):
        pass
    assert json.loads((tmp_path / "config.json").read_text()) == to_dict(Config())


def test_a_field_that_came_later_than_the_run_has_its_default(tmp_path):
    start(tmp_path, Config())
    stored = to_dict(Config())
    del stored["train"]["corrections"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert start(tmp_path, Config())
    with (
        pytest.raises(UserError, match=r"another config: train\.corrections: 0 .workdir. != 4 .now."),
        open_workdir(tmp_path, changed("train.corrections", 4)),
    ):
        pass


def test_a_field_that_is_not_there_any_more_is_refused_by_name(tmp_path):
    start(tmp_path, Config())
    stored = to_dict(Config())
    stored["train"]["correction"] = 3
    (tmp_path / "config.json").write_text(json.dumps(stored))
    message = r"config\.json: no field is called train\.correction; did you mean corrections\?$"
    with pytest.raises(UserError, match=message), open_workdir(tmp_path, Config()):
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [("train.steps", 5), ("train.log_every", 1), ("data.root", "x"), ("data.workers", 2), ("eval.batch_size", 3)],
)
def test_fields_that_may_change(tmp_path, name, value):
    start(tmp_path, Config())
    assert start(tmp_path, changed(name, value))
    assert json.loads((tmp_path / "config.json").read_text()) == to_dict(changed(name, value))


@pytest.fixture(scope="module")
def bound(tmp_path_factory):
    """A workdir of the default config."""
    path = tmp_path_factory.mktemp("bound")
    start(path, Config())
    return path


@pytest.mark.parametrize(
    ("mode", "free"), [("train", MAY_CHANGE), ("train_and_eval", MAY_CHANGE), ("eval", MAY_CHANGE_IN_EVAL)]
)
@pytest.mark.parametrize(("name", "kind"), field_types(Config).items())
def test_every_other_field_binds_a_run(bound, mode, free, name, kind):
    """A field that comes later does, too, until it is listed above."""
    config, (*groups, field) = Config(), name.split(".")
    value = getattr(getattr(config, groups[0]) if groups else config, field)
    other = changed(name, {bool: lambda: not value, str: lambda: value + "x"}.get(kind, lambda: value + kind(1))())
    if name in free:
        with open_workdir(bound, other, mode) as resumed:
            assert resumed
        return
    with (
        pytest.raises(UserError, match=rf"of another config: {re.escape(name)}: .* \(workdir\) != .* \(now\); give"),
        open_workdir(bound, other, mode),
    ):
        pass


def test_steps_are_bound_where_the_schedule_ends_with_them(tmp_path):
    start(tmp_path, changed("train.schedule", "cosine"))
    longer = changed("train.schedule", "cosine")
    longer.train.steps *= 2
    with pytest.raises(UserError, match=r"train\.steps: 100000 \(workdir\) != 200000"), open_workdir(tmp_path, longer):
        pass


@pytest.mark.parametrize("name", ["eval.source", "data.mode"])
def test_an_evaluation_may_differ_and_leaves_the_config(tmp_path, name):
    start(tmp_path, Config())
    other = changed(name, "other")
    with pytest.raises(UserError, match=f"{name}: .*or --mode=eval to score"), open_workdir(tmp_path, other):
        pass
    assert start(tmp_path, other, "eval", {"davis-val": "x"})
    assert json.loads((tmp_path / "config.json").read_text()) == to_dict(Config())
    with pytest.raises(UserError, match=r"model\.way"), open_workdir(tmp_path, changed("model.way", 3), "eval"):
        pass


def test_nothing_to_evaluate(tmp_path):
    with pytest.raises(UserError, match="holds no run to evaluate"), open_workdir(tmp_path / "run", Config(), "eval"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_changed_data_are_refused(tmp_path):
    start(tmp_path, Config())
    message = r"data set generated-train has changed since: version abc \(workdir\) != xyz \(now\)"
    with pytest.raises(UserError, match=message):
        start(tmp_path, Config(), data={"generated-train": "xyz", "other": "1"})


def test_the_data_of_a_named_evaluation_bind_none_but_it(tmp_path):
    named = changed("eval.name", "new")
    start(tmp_path, Config())
    start(tmp_path, named, "eval", {"generated-train": "xyz"})
    assert start(tmp_path, Config())
    with pytest.raises(UserError, match=r"version xyz \(workdir\) != abc \(now\); to score the model on these, too"):
        start(tmp_path, named, "eval")


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in {
        tmp_path / "file": "is a file, not a folder",
        tmp_path / "file" / "run": "cannot be written: Not a directory",
        tmp_path: "neither empty nor a workdir .it holds 'file'",
    }.items():
        with pytest.raises(UserError, match=message), open_workdir(path, Config()):
            pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux's /proc cannot be written, even by root")
def test_unwritable():
    with (
        pytest.raises(UserError, match=r"--workdir=/proc/run: cannot be written"),
        open_workdir(Path("/proc/run"), Config()),
    ):
        pass


def test_logs_of_the_shell_do_not_matter(tmp_path):
    (tmp_path / "slurm-1.out").write_text("x")
    assert not start(tmp_path, Config())


def test_a_broken_config_file(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: cannot be read"), open_workdir(tmp_path, Config()):
        pass
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"config\.json: is not a config"), open_workdir(tmp_path, Config()):
        pass


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    first, second = open_workdir(tmp_path, Config()), open_workdir(tmp_path, Config())
    with first, pytest.raises(UserError, match=r"is in use by process \d+ on"), second:
        pass
    with open_workdir(tmp_path, Config()):
        pass


def test_where_there_are_no_locks_a_run_starts_all_the_same(tmp_path, monkeypatch):
    """On Windows, and on some file systems: nobody is kept out, and nobody is named as the owner."""
    monkeypatch.setattr(disk, "fcntl", None)
    with open_workdir(tmp_path, Config()), open_workdir(tmp_path, Config()):
        assert (tmp_path / ".lock").read_text() == ""


def test_kill_9_lets_go_of_the_lock(tmp_path):
    hold = (
        "import fcntl, time; lock = open('.lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], cwd=tmp_path, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="is in use by another process"), open_workdir(tmp_path, Config()):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with open_workdir(tmp_path, Config()) as resumed:
            assert not resumed


def test_code_version(tmp_path, monkeypatch):
    package = tmp_path / "experiments"
    package.mkdir()
    monkeypatch.setattr(experiments, "__file__", str(package / "__init__.py"))
    assert code_version() == importlib.metadata.version("guided_jax")  # no checkout: of the installed package

    def git(*words):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    (package / "workdir.py").write_text("")
    git("add", ".")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD").strip()
    assert code_version() == commit
    (package / "workdir.py").write_text("x")
    assert code_version() == f"{commit}-dirty"
