"""Damaged checkpoints: every kind of damage is one line that says what to do; a new case is one line."""

import contextlib
import json
import random
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from guided_jax.learning.checkpoints import Checkpoints
from guided_jax.learning.checksums import digest, digests, first_changed, first_not_finite
from guided_jax.learning.damage import DamagedCheckpoint, no_late_answers
from guided_jax.learning.stored_checkpoint import StoredCheckpoint
from tests.guided_jax.learning.test_checkpoints import ABOUT, assert_same_bits, make_state, open_checkpoints


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Checkpoints of steps 200 and 300."""
    folder = tmp_path_factory.mktemp("checkpoints")
    kept = open_checkpoints(folder)
    for step in (200, 300):
        kept.save(make_state(step, seed=step), ABOUT, {"pos_iu": step / 1000})
        kept.wait()
    kept.close()
    return folder


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "checkpoints")


def arrays_of(folder):
    return [path for path in (folder / "300" / "state").rglob("*") if path.is_file() and path.parent.name == "d"]


def cut_arrays(folder):
    for path in arrays_of(folder):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_all(folder):
    for path in (folder / "300").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def become_empty(folder):
    shutil.rmtree(folder / "300")
    (folder / "300").mkdir()


def change_about(folder):
    file = folder / "300" / "about" / "metadata"
    file.write_text(file.read_text().replace('"seed": 1', '"seed": 3'))


def change_sum(folder):
    file = folder / "300" / "checksums" / "metadata"
    sums = json.loads(file.read_text())
    file.write_text(json.dumps({**sums, "learning/head/bias": "0" * 64}))


def lose_checksums(folder):
    shutil.rmtree(folder / "300" / "checksums")


def be_of_an_older_version(folder):
    lose_checksums(folder)
    file = folder / "300" / "_CHECKPOINT_METADATA"
    written = json.loads(file.read_text())
    del written["item_handlers"]["checksums"]
    file.write_text(json.dumps(written))


def lose_metadata_too(folder):
    lose_checksums(folder)
    (folder / "300" / "_CHECKPOINT_METADATA").unlink()


DAMAGES = {
    "empty folder": (become_empty, "its folder is empty"),
    "cut": (cut_arrays, "Error reading"),
    "all files empty": (empty_all, ""),
    "no state": (lambda folder: shutil.rmtree(folder / "300" / "state"), "_METADATA"),
    "no _METADATA": (lambda folder: (folder / "300/state/_METADATA").unlink(), "_METADATA"),
    "no manifest": (lambda folder: (folder / "300/state/manifest.ocdbt").unlink(), "NOT_FOUND"),
    "no arrays": (lambda folder: [path.unlink() for path in arrays_of(folder)], ""),
    "no about": (lambda folder: shutil.rmtree(folder / "300" / "about"), "about"),
    "about is no JSON": (lambda folder: (folder / "300/about/metadata").write_text("{"), "Expecting property name"),
    "about says something else": (change_about, "what it says of itself is not what was written"),
    "scores are no JSON": (lambda folder: (folder / "300/metrics/metrics").write_text("{"), "metrics/metrics: Expect"),
    "another array": (change_sum, "learning/head/bias is not what was written: its checksum differs"),
    "no checksums": (lose_checksums, "checksums is missing"),
    "no checksums, and nothing says so": (lose_metadata_too, "_CHECKPOINT_METADATA"),
    "checksums are a list": (lambda folder: (folder / "300/checksums/metadata").write_text("[]"), "holds no fields"),
    "checksums are no JSON": (lambda folder: (folder / "300/checksums/metadata").write_text("{"), "Expecting"),
}


@pytest.mark.parametrize("reads", ["restore", "parameters"])
@pytest.mark.parametrize(("harm", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_one_line_that_says_what_to_do(copy, harm, reason, reads):
    harm(copy)
    with pytest.raises(DamagedCheckpoint) as caught:
        kept = Checkpoints(copy, keep_last=2, keep_best=1, read_only=True)
        kept.about(300)
        kept.restore(300, make_state(0)) if reads == "restore" else kept.parameters(300)
    text = str(caught.value)
    assert text.startswith(f"{copy / '300'}: checkpoint 300 is damaged (")
    assert text.endswith("): delete it to go on from 200")
    assert reason in text
    assert "\n" not in text and len(text) < 600


def test_an_empty_newer_folder_is_the_newest_and_damaged(copy, capfd):
    (copy / "999").mkdir()
    kept = open_checkpoints(copy)
    assert kept.newest() == 999 and kept.best() == 300
    assert "Metadata" not in capfd.readouterr().err
    with pytest.raises(DamagedCheckpoint, match=r"999 is damaged \(its folder is empty\): delete it to go on from 300"):
        kept.restore(999, make_state(0))
    assert_same_bits(kept.restore(300, make_state(0)), make_state(300, seed=300))
    kept.close()


def test_the_only_one(copy):
    shutil.rmtree(copy / "200")
    become_empty(copy)
    with pytest.raises(DamagedCheckpoint, match=r"delete it to start anew \(there is no other one\)$"):
        open_checkpoints(copy).about(300)


def test_no_flipped_bit_loads_as_other_parameters(copy):
    """Over a sample of all files of a checkpoint: refused, or the bit did not matter."""
    rng, refused = random.Random(0), 0
    expected = make_state(300, seed=300)
    files = [path for path in (copy / "300").rglob("*") if path.is_file() and path.stat().st_size]
    for _ in range(40):
        file = rng.choice(files)
        content = file.read_bytes()
        changed = bytearray(content)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        try:
            kept = Checkpoints(copy, keep_last=2, keep_best=1, read_only=True)
            assert kept.about(300) == ABOUT
            assert_same_bits(kept.restore(300, make_state(0)), expected)
            params = kept.parameters(300)
            assert_same_bits(params, {name: {**expected.frozen, **expected.learning}[name] for name in params})
        except DamagedCheckpoint:
            refused += 1
        finally:
            file.write_bytes(content)
    assert 0 < refused < 40


def test_one_without_checksums_is_read(copy, caplog):
    """As older versions wrote them."""
    be_of_an_older_version(copy)
    kept = open_checkpoints(copy)
    assert kept.about(300) == ABOUT
    state = make_state(300, seed=300)
    assert_same_bits(kept.restore(300, make_state(0)), state)
    assert [(record.levelname, "without checksums" in record.message) for record in caplog.records] == [("WARNING", 1)]
    assert_same_bits(kept.parameters(300), {**state.frozen, **state.learning})
    kept.close()


def change_score(folder):
    (folder / "300/metrics/metrics").write_text('{"pos_iu": 0.9}')


SCORES = {
    "another score": (change_score, "its scores are not what was written"),
    "no score": (lambda folder: (folder / "300/metrics/metrics").write_text("{}"), "its scores are not"),
    "a list": (lambda folder: (folder / "300/metrics/metrics").write_text("[]"), "metrics/metrics: holds no fields"),
    "no metrics": (lambda folder: shutil.rmtree(folder / "300/metrics"), "its scores are not what was written"),
}


@pytest.mark.parametrize(("harm", "reason"), SCORES.values(), ids=SCORES)
def test_no_best_one_is_chosen_by_a_damaged_score(copy, harm, reason):
    """A writer does not open them, for by the scores it deletes; a reader does not choose."""
    harm(copy)
    for choose in (
        lambda: Checkpoints(copy, keep_last=2, keep_best=1),
        lambda: Checkpoints(copy, keep_last=2, keep_best=1, read_only=True).best(),
    ):
        with pytest.raises(DamagedCheckpoint, match="300 is damaged") as caught:
            choose()
        assert caught.value.reason.startswith(reason) and caught.value.other == 200


def test_scores_whose_checksum_an_older_version_did_not_write(copy):
    for step in ("200", "300"):
        file = copy / step / "checksums" / "metadata"
        sums = json.loads(file.read_text())
        del sums["scores"]
        file.write_text(json.dumps(sums))
    change_score(copy)
    kept = open_checkpoints(copy)
    assert kept.best() == 300
    kept.close()


@pytest.mark.parametrize("harm", [harm for harm, _ in {**DAMAGES, **SCORES}.values()], ids=[*DAMAGES, *SCORES])
def test_damaged_ones_are_passed_over_when_asked(copy, harm, caplog):
    harm(copy)
    harmed = {path.relative_to(copy / "300"): path.read_bytes() for path in (copy / "300").rglob("*") if path.is_file()}
    kept = Checkpoints(copy, keep_last=2, keep_best=1, skip_damaged=True)
    assert kept.steps() == [200] and kept.newest() == kept.best() == 200
    assert_same_bits(kept.restore(200, make_state(0)), make_state(200, seed=200))
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    aside = copy.with_name("damaged")
    assert line.startswith(f"passed over as damaged, and moved to {aside}: checkpoint 300 (") and "\n" not in line
    assert harmed == {
        path.relative_to(aside / "300"): path.read_bytes() for path in (aside / "300").rglob("*") if path.is_file()
    }
    kept.save(make_state(300, seed=300), ABOUT, {"pos_iu": 0.3})  # its place is free
    kept.wait()
    harm(copy)
    kept.close()
    again = Checkpoints(copy, keep_last=2, keep_best=1, skip_damaged=True)
    assert again.steps() == [200]
    assert sorted(path.name for path in aside.iterdir()) == ["300", "300-2"]
    again.close()


def test_where_none_is_sound_none_is_passed_over(copy):
    become_empty(copy)
    shutil.rmtree(copy / "200" / "state")
    with pytest.raises(DamagedCheckpoint, match=r"300 is damaged \(its folder is empty, and no other is sound\)"):
        Checkpoints(copy, keep_last=2, keep_best=1, skip_damaged=True)
    assert sorted(path.name for path in copy.iterdir()) == ["200", "300"]


def test_sound_ones_stay(sound, copy, caplog):
    kept = Checkpoints(copy, keep_last=2, keep_best=1, skip_damaged=True)
    assert kept.steps() == [200, 300] and not caplog.records and not copy.with_name("damaged").exists()
    kept.close()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), ValueError("PERMISSION_DENIED: x")])
def test_what_may_not_be_read_is_not_called_damaged(copy, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    kept = open_checkpoints(copy)
    monkeypatch.setattr(StoredCheckpoint, "shapes", refuse)
    for read in (lambda: kept.restore(300, make_state(0)), lambda: kept.parameters(300)):
        with pytest.raises(PermissionError):
            read()
    kept.close()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("group", "name"), [("learning", "head/bias"), ("frozen", "trunk/kernel")])
def test_parameters_that_are_not_finite_are_refused_by_name(tmp_path, value, group, name):
    state = make_state(7)
    arrays = getattr(state, group)
    harmed = state._replace(**{group: {**arrays, name: arrays[name].at[0].set(value)}})
    kept = open_checkpoints(tmp_path)
    kept.save(harmed, ABOUT, None)
    kept.wait()
    for read in (lambda: kept.restore(7, make_state(0)), lambda: kept.parameters(7)):
        with pytest.raises(DamagedCheckpoint, match=rf"7 is damaged \({group}/{name} holds NaN or infinity\)"):
            read()
    kept.close()


def test_nothing_else_is_printed(copy):
    """Orbax's reads that are still at work when one has failed would print a traceback each."""
    cut_arrays(copy)
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom guided_jax.learning.checkpoints import Checkpoints\n"
        "kept = Checkpoints(Path(sys.argv[1]), keep_last=1, keep_best=0, read_only=True)\n"
        "for _ in range(5):\n    try:\n        kept.parameters(300)\n    except ValueError as error:\n"
        "        print(error)\ntime.sleep(0.5)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(copy)], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 5
    assert "Traceback" not in done.stderr and "Event loop" not in done.stderr


@pytest.mark.parametrize("fails", [False, True])
def test_late_answers_stay_quiet_after_a_failure_also_when_what_is_around_it_ends_well(monkeypatch, fails):
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", before := heard.append)
    with no_late_answers(), contextlib.suppress(OSError), no_late_answers():
        if fails:
            raise OSError
    assert (sys.unraisablehook is before) == (not fails)
    for text in ("Event loop is closed", "another"):
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(text)))
    assert [str(each.exc_value) for each in heard][-2:] == (
        ["another"] if fails else ["Event loop is closed", "another"]
    )


def test_digests_see_values_signs_shapes_and_dtypes():
    array = np.zeros((2, 3), np.float32)
    others = [array.reshape(3, 2), array.astype(np.float16), -array, array + np.float32(1e-45), array.view(np.int32)]
    assert len({digest(each) for each in (array, *others)}) == 1 + len(others)
    assert digest(array) == digest(np.asfortranarray(array))


def test_the_first_leaf_that_changed_or_is_not_finite():
    tree = {"a": {"b/c": np.ones(2, np.float32)}, "step": np.array(1, np.int32)}
    sums = digests(tree)
    assert list(sums) == ["a/b/c", "step"]
    assert first_changed(tree, sums) is None and first_not_finite(tree) is None
    assert first_changed({**tree, "step": np.array(2, np.int32)}, sums) == "step"
    assert first_changed(jax.tree.map(lambda leaf: leaf, {**tree, "new": np.zeros(1)}), sums) == "new"
    assert first_not_finite({**tree, "z": np.array([np.nan], np.float32)}) == "z"
