"""Sweeps: which runs there are, who runs them, what is refused before any, and the table that they make."""

import json
import shutil

import pytest

from experiments import sweep as module
from experiments.runs.metrics import read_metrics
from experiments.settings.command_line import guarded
from experiments.settings.config import Config
from experiments.settings.errors import UserError
from experiments.settings.fields import to_dict, with_overrides
from experiments.sweep import main, parse_sweep
from experiments.sweeping import tables
from experiments.sweeping.leases import holding
from experiments.sweeping.plan import Run, Variant, read_result
from experiments.sweeping.tables import make_table, plot_table, to_markdown
from guided_jax.learning.loop import NonFiniteLoss
from tests.experiments.conftest import SHRUNK, random_start

BASE = """
from experiments.settings.fields import with_overrides
from experiments.configs.quickstart import get_config as base_config

def get_config(base="generated"):
    return with_overrides(base_config(), {fields})

def get_sweep(base="generated"):
    yield from {sweep}
"""
SLOW = {"train.learning_rate": 0.5}
SWEEP = [("plain", {}), ("fast", {"train.learning_rate": 1}), ("slow", SLOW)]
POINTS = ("1", "5", "dense")
CLICK = {"update_ms": 0.5, "whole_pass_ms": 40.0, "ratio": 80.0, "height": 96, "width": 96, "rounds": 5}


@pytest.fixture
def experiment(prepared, tmp_path):
    """Writes an experiment with the given variants, on the shrunk quickstart."""

    def write(sweep, name="small"):
        fields = {**SHRUNK, "data.prepared": str(prepared), "eval.points": ",".join(POINTS), "train.steps": 1}
        file = tmp_path / f"{name}.py"
        file.write_text(BASE.format(fields=fields, sweep=sweep))
        return str(file)

    return write


@pytest.fixture
def ask(experiment, tmp_path):
    """Parses a command line of the sweep that runs here."""

    def parse(*words, sweep=SWEEP, config=None):
        file = config or experiment(sweep)
        return parse_sweep(["x", f"--config={file}", f"--workdir={tmp_path / 'runs'}", "--launcher=local", *words])

    return parse


def scores_of(config) -> dict[str, float]:
    """Made up, so that its means and deviations over seeds can be computed by hand."""
    of_seed = {1337: 0.1, 1338: 0.2, 1339: 0.6}[config.seed]
    return {"1": of_seed, "5": of_seed / 2, "dense": 0.9}


@pytest.fixture
def fake(monkeypatch):
    """Runs cost nothing; gives the list of those that were run, and what shall go wrong by the variant's name."""
    ran, wrong = [], {}

    def run(config, folder, parallel):
        assert parallel == "pmap"
        ran.append(f"{config.name}/seed-{config.seed}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(to_dict(config)))
        if config.name in wrong:
            raise UserError("the loss is nan") from wrong[config.name]
        write_result(config, folder)

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "measure_click", lambda *_: CLICK)
    return ran, wrong


def write_result(config, folder):
    protocol = {
        "data": "generated:val[-3:]",
        "source": config.eval.source,
        "mode": "interactive",
        "shots": 1,
        "tasks": 5,
        "limit": config.eval.limit,
        "seed": config.seed,
        "step": config.train.steps,
    }
    scores = {points: {"pos_iu": value} for points, value in scores_of(config).items()}
    (folder / "result.json").write_text(
        json.dumps({"protocol": protocol, "scores": scores, "about": {"code": "abc"}}),
    )
    lines = [
        {"step": 0, "seconds": 0.5, "loss": 0.6, "weight_variation": 0.75},
        {"step": 1, "seconds": config.seed - 1330, "loss": 0.5, "weight_variation": 0.25},
        {"step": 2, "seconds": config.seed - 1327, "loss": 0.4, "weight_variation": None},
        {"step": 2, "seconds": 99, "eval/pos_iu": 0.5},
    ]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))


def run_all(asked):
    return module.sweep(asked)


def test_every_variant_under_every_seed(ask, tmp_path):
    asked = ask("--seeds=2", "--config.train.warmup=3", "--config.train.learning_rate=7")
    assert [run.name for run in asked.chosen] == [
        f"{name}/seed-{seed}" for name in ("plain", "fast", "slow") for seed in (1337, 1338)
    ]
    assert asked.chosen[-1].folder == tmp_path / "runs" / "slow" / "seed-1338"
    assert [run.config.train.warmup for run in asked.chosen] == [3] * 6
    # The command line changes the base; what a variant is about stays.
    assert [run.config.train.learning_rate for run in asked.chosen] == [7, 7, 1, 1, 0.5, 0.5]
    assert [run.config.seed for run in asked.chosen] == [1337, 1338] * 3


def test_the_parts_are_all_runs_once(ask):
    whole = [run.name for run in ask("--seeds=3").chosen]
    parts = [[run.name for run in ask("--seeds=3", f"--part={i}/4").chosen] for i in (1, 2, 3, 4)]
    assert sorted(name for part in parts for name in part) == sorted(whole)
    assert {len(part) for part in parts} == {2, 3}
    chosen = ask("--seeds=3", "--only=slow, plain", "--part=2/2").chosen
    assert [run.name for run in chosen] == ["plain/seed-1338", "slow/seed-1337", "slow/seed-1339"]


def test_variants_of_two_experiments_run_once(ask, experiment):
    first, second = experiment(SWEEP[:2], "first"), experiment([SWEEP[0], SWEEP[2]], "second")
    asked = ask("--seeds=1", config=f"{first},{second}:other")
    assert [run.variant.name for run in asked.runs] == ["plain", "fast", "slow"]
    assert asked.runs[0].variant.experiments == (first, f"{second}:other")


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ([("plain", {}), ("odd", {"model.inference": "guessing"})], r"variant odd of .*: model\.inference='guessing'"),
        ([("odd", {"train.freeze": "trunc"})], r"variant odd of .*: train\.freeze: 'trunc' matches no parameter"),
        ([("odd", {"model.locality": "local", "eval.mode": "video"})], r"variant odd of .*: eval\.mode=video"),
        ([("odd", {"train.step": 3})], r"variant odd: no field is called train\.step; did you mean train\.steps or "),
        ([("odd", {"train.steps": "3"})], r"variant odd: train\.steps='3' is not of type int"),
        ([("../odd", {})], r"called '\.\./odd'"),
        ([("odd", {}), ("odd", SLOW)], "called 'odd'; each needs a name of its own"),
        ([], "no variant to run"),
    ],
)
def test_what_makes_no_run_is_refused_before_any(ask, fake, sweep, message):
    with pytest.raises(UserError, match=message):
        run_all(ask(sweep=sweep))
    assert fake[0] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only=slw"], r"--only=slw: no such variant; did you mean slow\?; there are: plain, fast, slow"),
        (["--part=0/2"], "--part=0/2: expects I/N with I from 1 to N"),
        (["--part=3/2"], "--part=3/2"),
        (["--part=half"], "--part=half"),
        (["--seeds=0"], "--seeds=0: at least 1"),
        (["--seeds=1000000000"], "--seeds=1000000000: at most 1000"),
        (["--config.train.step=1"], r"train\.step: no such field"),
        (["--config.eval.name=other"], r"--config\.eval\.name: all runs of a sweep would write to it; leave it out"),
        (["--config.eval.save=masks"], r"--config\.eval\.save: all runs of a sweep would write to it; leave it out"),
        (["--onyl=slow"], "--onyl: no such flag; did you mean only"),
    ],
)
def test_a_mistake_on_the_command_line(ask, words, message):
    with pytest.raises(UserError, match=message):
        ask(*words)


def test_files_that_are_no_experiments_with_a_sweep(ask, experiment):
    first, second = experiment([("odd", {})], "first"), experiment([("odd", SLOW)], "second")
    with pytest.raises(UserError, match=r"mean different things by it: train\.learning_rate: 0\.003 \(first\) != 0\.5"):
        ask(config=f"{first},{second}")
    with pytest.raises(UserError, match=r"has no function get_sweep\(\)"):
        ask(config="experiments/configs/quickstart.py")
    with pytest.raises(UserError, match=r"nowhere\.py: no such file"):
        ask(config=f"{first},nowhere.py")
    with pytest.raises(UserError, match=r"--config=FILE\.py is missing"):
        parse_sweep(["x", "--workdir=y"])
    with pytest.raises(UserError, match="--workdir=DIR is missing"):
        parse_sweep(["x", f"--config={first}", "--launcher=local"])


def test_only_what_is_not_done_is_run(ask, fake, tmp_path):
    ran, _ = fake
    run_all(ask("--seeds=2", "--part=1/2"))
    assert ran == ["plain/seed-1337", "fast/seed-1337", "slow/seed-1337"]
    table = json.loads((tmp_path / "runs" / "table.json").read_text())
    assert list(table["missing"]) == ["plain/seed-1338", "fast/seed-1338", "slow/seed-1338"]
    ran.clear()
    run_all(ask("--seeds=2"))
    assert ran == ["plain/seed-1338", "fast/seed-1338", "slow/seed-1338"]
    ran.clear()
    run_all(ask("--seeds=2"))
    assert ran == []
    assert json.loads((tmp_path / "runs" / "table.json").read_text())["missing"] == {}


def test_a_result_of_another_evaluation_is_no_result(ask, fake):
    ran, _ = fake
    asked = ask("--seeds=1", "--only=plain")
    run_all(asked)
    file = asked.chosen[0].folder / "result.json"
    result = json.loads(file.read_text())
    for change in ({"step": 0}, {"limit": 3}, {"source": "voc:val:class"}, {"mode": "semantic"}):
        file.write_text(json.dumps({**result, "protocol": {**result["protocol"], **change}}))
        assert read_result(asked.chosen[0]) is None
    for points in (("1", "5"), ("1", "5", "20"), ("5", "1", "dense"), (*POINTS, "20")):
        file.write_text(json.dumps({**result, "scores": {name: {"pos_iu": 0.5} for name in points}}))
        assert read_result(asked.chosen[0]) is None
    run_all(asked)
    assert ran == ["plain/seed-1337"] * 2 and read_result(asked.chosen[0]) == result


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("eval.classes", "dog", False),
        ("eval.min_area", 9, False),
        ("data.max_side", 40, False),
        ("seed", 1338, False),
        ("eval.checkpoint", "best", False),
        ("eval.batch_size", 2, True),
    ],
)
def test_a_result_of_another_configuration_is_no_result(ask, fake, field, value, same):
    """As `--mode=eval` on one of the runs leaves it, whose protocol may look alike."""
    asked = ask("--seeds=1", "--only=plain")
    run_all(asked)
    (run,) = asked.chosen
    file = run.folder / "result.json"
    result = json.loads(file.read_text())
    about = {**result["about"], "config": to_dict(with_overrides(run.config, {field: value}))}
    file.write_text(json.dumps({**result, "about": about}))
    assert (read_result(run) is not None) == same


@pytest.mark.parametrize(
    ("fields", "stale"),
    [
        ({"model.feature_width": 9}, True),
        ({"train.freeze": "trunk"}, True),
        ({"data.buckets": "64x96"}, True),
        ({"train.learning_rate": 0.25}, False),
    ],
)
def test_a_click_is_measured_again_where_what_was_measured_has_changed(ask, fake, tmp_path, monkeypatch, fields, stale):
    measured = []
    monkeypatch.setattr(module, "measure_click", lambda *of: measured.append(of[1:]) or CLICK)
    run_all(ask("--seeds=2", sweep=[("plain", {})]))
    run_all(ask("--seeds=2", sweep=[("plain", {})]))
    assert measured == [(96, 96)]
    for folder in (tmp_path / "runs" / "plain").glob("seed-*"):
        shutil.rmtree(folder)  # or the changed configuration would be refused
    asked = ask("--seeds=1", sweep=[("plain", fields)])
    shown = make_table(asked.runs, {"plain": module._measured(asked.workdir, asked.runs[0].variant) or {}})
    assert (shown["variants"][0]["click"] is None) == stale
    run_all(asked)
    assert measured[1:] == [(64, 96) if "data.buckets" in fields else (96, 96)] * stale
    assert json.loads((tmp_path / "runs" / "table.json").read_text())["variants"][0]["click"] == CLICK


def test_a_changed_configuration_is_refused_before_any_run(ask, fake):
    run_all(ask("--seeds=1", "--only=slow"))
    fake[0].clear()
    with pytest.raises(UserError, match=r"slow/seed-1337: is of another config: train\.momentum: 0\.99 .* != 0\.5"):
        ask("--seeds=1", "--config.train.momentum=0.5")
    assert fake[0] == []


def test_a_run_that_diverges_does_not_stop_the_others(ask, fake, experiment, tmp_path, capsys):
    ran, wrong = fake
    wrong["fast"] = NonFiniteLoss("nan")
    words = ["x", f"--config={experiment(SWEEP)}", f"--workdir={tmp_path / 'runs'}", "--seeds=1", "--launcher=local"]
    assert guarded(lambda: main(words)) == 2
    assert ran == ["plain/seed-1337", "fast/seed-1337", "slow/seed-1337"]
    assert "Missing (the loss is nan): fast/seed-1337." in capsys.readouterr().out
    assert guarded(lambda: main(words)) == 2
    assert "failed before (--retry runs it again):\n    the loss is nan\n" in capsys.readouterr().err
    assert ran == ["plain/seed-1337", "fast/seed-1337", "slow/seed-1337"]
    wrong["fast"] = ValueError("no data")  # any other mistake is the same for all
    with pytest.raises(UserError, match="fast/seed-1337: the loss is nan"):
        run_all(ask("--seeds=1", "--retry"))
    wrong.clear()
    assert guarded(lambda: main([*words, "--retry"])) == 0 and ran[-1] == "fast/seed-1337"
    assert not (tmp_path / "runs" / "fast" / "seed-1337" / "failed.log").exists()


def test_what_another_process_runs_is_left_to_it(ask, fake, tmp_path, capsys):
    ran, _ = fake
    asked = ask("--seeds=1")
    with holding(asked.runs[1].folder):
        failures = run_all(asked)
        assert ran == ["plain/seed-1337", "slow/seed-1337"]
        assert list(failures) == ["fast/seed-1337"] and failures["fast/seed-1337"].startswith("run by ")
        assert guarded(lambda: ask("--seeds=1", "--launcher=none")) == 0
        assert "    2: seed-1337 run by " in capsys.readouterr().out
    run_all(asked)
    assert ran[-1] == "fast/seed-1337"


def test_a_unit_by_its_number(ask, fake):
    ran, _ = fake
    run_all(ask("--seeds=2", "--unit=4", "--launcher=none"))
    assert ran == ["fast/seed-1338"]
    with pytest.raises(UserError, match="--unit=7: there are 6 units"):
        ask("--seeds=2", "--unit=7")
    with pytest.raises(UserError, match="--unit=1: is a run by itself; leave out --only and --part"):
        ask("--seeds=2", "--unit=1", "--only=fast")


def test_the_table_by_hand(ask, fake, tmp_path, monkeypatch):
    asked = ask("--seeds=3")
    run_all(asked)
    shutil.rmtree(asked.runs[-1].folder)
    measured = {"plain": {"parameters": {"total": 12345, "learning": 345}, "click": CLICK}}
    table = make_table(asked.runs, measured, {})
    plain, fast, slow = table["variants"]
    # 0.1, 0.2, 0.6: mean 0.3, squared deviations 0.04 + 0.01 + 0.09 = 0.14, over 2: 0.07.
    assert plain["scores"]["1"]["mean"] == pytest.approx(0.3)
    assert plain["scores"]["1"]["std"] == pytest.approx(0.07**0.5)
    assert plain["scores"]["1"]["values"] == [0.1, 0.2, 0.6]
    assert plain["scores"]["5"]["mean"] == pytest.approx(0.15)
    assert plain["scores"]["dense"]["std"] == pytest.approx(0, abs=1e-12)
    # Of the last update, not of the evaluation after it: 10, 11, 12 seconds.
    assert plain["training_seconds"] == {"mean": 11, "std": 1, "values": [10, 11, 12]}
    assert plain["weight_variation"]["mean"] == 0.25
    assert plain["seeds"] == [1337, 1338, 1339]
    assert plain["protocol"]["tasks"] == 5 and "seed" not in plain["protocol"]
    assert (plain["parameters"], plain["click"]) == ({"total": 12345, "learning": 345}, CLICK)
    assert (plain["steps"], plain["code"], plain["overrides"]) == (1, ["abc"], {}) and slow["overrides"] == SLOW
    assert len(plain["experiments"]) == 1 and plain["experiments"][0].endswith("small.py")
    assert fast["parameters"] is fast["click"] is None
    assert slow["seeds"] == [1337, 1338]
    assert slow["scores"]["1"]["mean"] == pytest.approx(0.15)
    assert slow["scores"]["1"]["std"] == pytest.approx(0.005**0.5)
    assert table["missing"] == {"slow/seed-1339": "not run yet"}

    drawn = {}
    monkeypatch.setattr(tables, "plot_curves", lambda path, curves, **more: drawn.update(curves=curves, **more))
    plot_table(tmp_path / "curve.png", table)
    assert drawn["title"] == "generated:val[-3:]" and list(drawn["curves"]) == ["plain", "fast", "slow"]
    assert drawn["curves"]["slow"] == pytest.approx({1: 0.15, 5: 0.075, "dense": 0.9})
    assert drawn["spreads"]["plain"] == pytest.approx({1: 0.07**0.5, 5: 0.07**0.5 / 2, "dense": 0}, abs=1e-12)

    head, _, *rows = to_markdown(table).split("\n\n")[0].splitlines()
    columns = "variant|1|5|dense|parameters|learning|ms a click|a pass / a click|training s|weights vary"
    assert head == f"| {columns.replace('|', ' | ')} |"
    assert rows[0] == (
        "| plain | 30.0 ± 26.5 | 15.0 ± 13.2 | 90.0 ± 0.0 | 12,345 | 345 | 0.50 | 80.0 | 11 ± 1 | 0.250 ± 0.000 |"
    )
    assert rows[2].startswith("| slow | 15.0 ± 7.1 | 7.5 ± 3.5 | 90.0 ± 0.0 |  |  |  |  | 10 ± 1 |")
    text = to_markdown(table)
    assert "on 5 tasks of generated:val[-3:] (interactive, S = 1), mean ± standard deviation over 2 to 3 seeds" in text
    assert "Missing (not run yet): slow/seed-1339." in text
    assert "Not the protocol" not in text


def test_seconds_of_fine_tuning_are_those_of_the_results(ask, fake):
    asked = ask("--seeds=2", "--only=slow")
    run_all(asked)
    for run, seconds in zip(asked.chosen, (1.0, 3.0), strict=True):
        file = run.folder / "result.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "speed": {"seconds_per_task": seconds}}))
    plain, _, slow = make_table(asked.runs, {})["variants"]
    assert plain["tuning_seconds"] is None and slow["tuning_seconds"]["values"] == [1, 3]
    head, _, row = to_markdown(make_table(asked.runs, {})).split("\n\n")[0].splitlines()
    assert " | training s | fine-tuning s a task | " in head and " | 2.00 ± 1.41 | " in row


def test_a_single_seed_has_no_spread_and_an_odd_protocol_is_named(ask, fake):
    asked = ask("--seeds=1")
    nothing = to_markdown(make_table(asked.runs, {}))
    assert nothing == "no result yet\n\nMissing (not run yet): plain/seed-1337, fast/seed-1337, slow/seed-1337."
    run_all(asked)
    file = asked.runs[1].folder / "result.json"
    result = json.loads(file.read_text())
    file.write_text(json.dumps({**result, "protocol": {**result["protocol"], "tasks": 4}}))
    text = to_markdown(make_table(asked.runs, {}))
    assert "| slow | 10.0 | 5.0 | 90.0 |" in text
    assert "Not the protocol of plain: fast; see table.json." in text


def test_seeds_that_draw_other_tasks_have_one_protocol(ask, fake):
    asked = ask("--seeds=2", "--only=plain")
    run_all(asked)
    for run, small in zip(asked.chosen, ("4 below 2% of the image", "5 below 2% of the image"), strict=True):
        file = run.folder / "result.json"
        result = json.loads(file.read_text())
        file.write_text(json.dumps({**result, "protocol": {**result["protocol"], "small_tasks": small}}))
    assert "Not the protocol" not in to_markdown(make_table(asked.runs, {}))


def test_a_variant_of_several_protocols_is_named(ask, fake):
    asked = ask("--seeds=2")
    run_all(asked)
    assert asked.runs[3].name == "fast/seed-1338"
    file = asked.runs[3].folder / "result.json"
    result = json.loads(file.read_text())
    file.write_text(json.dumps({**result, "protocol": {**result["protocol"], "tasks": 4}}))
    assert "Not the protocol of plain: fast; see table.json." in to_markdown(make_table(asked.runs, {}))


def test_without_a_launcher_the_units_are_listed_and_none_is_run(experiment, fake, ask, tmp_path, capsys):
    ran, _ = fake
    run_all(ask("--seeds=1", "--only=slow"))
    capsys.readouterr()
    words = ["x", f"--config={experiment(SWEEP)}", f"--workdir={tmp_path / 'runs'}", "--seeds=2"]
    assert guarded(lambda: main(words)) == 0 and ran == ["slow/seed-1337"]
    shown = capsys.readouterr().out
    assert shown.endswith("--launcher=local runs them here, --unit=I one of them alone\n")
    assert "    --config.train.learning_rate=0.5\n    5: seed-1337 done, 6: seed-1338 to run" in shown
    assert "plain  (" in shown and "    the base\n    1: seed-1337 to run, 2: seed-1338 to run" in shown
    assert guarded(lambda: main([*words, "--unit=2"])) == guarded(lambda: main([*words, "--part=1/6"])) == 0
    assert ran[1:] == ["plain/seed-1338", "plain/seed-1337"]
    with pytest.raises(UserError, match="--retry: runs nothing by itself; add --launcher=local, --unit=I or --part"):
        parse_sweep([*words, "--retry"])


def test_a_sweep_itself(experiment, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "measure_click", lambda *_: CLICK)
    words = ["x", f"--config={experiment(SWEEP[:1])}", f"--workdir={tmp_path / 'runs'}", "--seeds=1"]
    words.append("--launcher=local")
    with random_start():
        assert guarded(lambda: main(words)) == 0
    folder = tmp_path / "runs" / "plain" / "seed-1337"
    result = json.loads((folder / "result.json").read_text())
    table = json.loads((tmp_path / "runs" / "table.json").read_text())
    assert {name: each["mean"] for name, each in table["variants"][0]["scores"].items()} == {
        name: each["pos_iu"] for name, each in result["scores"].items()
    }
    assert len({each["pos_iu"] for each in result["scores"].values()}) == len(POINTS)
    assert table["variants"][0]["parameters"]["total"] == table["variants"][0]["parameters"]["learning"] > 1000
    assert table["variants"][0]["training_seconds"]["mean"] == read_metrics(folder)[0]["seconds"]
    assert (tmp_path / "runs" / "curve.png").stat().st_size > 1000
    assert "| plain | " in capsys.readouterr().out
    before = (folder / "run.json").read_text()
    assert guarded(lambda: main(words)) == 0
    assert (folder / "run.json").read_text() == before


def test_damaged_files_of_a_sweep_are_named(tmp_path):
    variant = Variant("a", ("x.py",), {}, Config())
    (tmp_path / "result.json").write_text('{"protocol": {}}')
    with pytest.raises(
        UserError, match=r"result\.json: a result lacks what its kind has: protocol\.step: is missing; del"
    ):
        read_result(Run(variant, 0, Config(), tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "measured.json").write_text("[]")
    with pytest.raises(UserError, match=r"measured\.json: does not tell what was measured: is no object; delete it"):
        module._measured(tmp_path, variant)
