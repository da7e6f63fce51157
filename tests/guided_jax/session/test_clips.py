"""Clips in a session: frames are images, in bounded memory; the work can be watched and stopped; mistakes are told."""

import gc

import jax
import numpy as np
import pytest

from guided_jax.clips import Clip
from guided_jax.clips.clip import number_names
from guided_jax.episode import UNKNOWN
from guided_jax.session import Session
from guided_jax.session.clips import CLIP_BUDGET
from tests.guided_jax.session.small_clips import KINDS, MARKS, SIZE, Read, first, frames_of, opened, same
from tests.guided_jax.small_models import small_model
from tests.guided_jax.variants import VARIANTS


class TestMemory:
    def test_adding_reads_nothing(self):
        many = Clip("long", number_names(2000), SIZE, None, lambda number: pytest.fail("a frame was read"))
        session = first("follows").fresh()
        names = session.add_clip("long", many)
        assert len(session.names) == 2000 and session.names[-1] == names[-1] == "long/01999"
        session.click(names[77], 3, 4, 1)
        assert session.annotation(names[77])[3, 4] == 1 and session.held() == 0
        with pytest.raises(ValueError, match=r"no image 'x'; there are: 'long/00000', .*, and 1992 more$") as error:
            session.click("x", 1, 1, 1)
        assert len(str(error.value)) < 300

    @pytest.mark.parametrize("direction", ["forward", "both"])
    def test_it_is_flat_along_a_clip_and_nothing_compiles_again(self, direction):
        source = Read(24)
        session = opened("follows", {0: MARKS[1], 23: MARKS[4]}, source.clip)
        dict(session.propagate("walk", direction=direction))
        of_one = session.held() // 24
        budget = 3 * of_one + of_one // 2
        bounded = opened("follows", {0: MARKS[1], 23: MARKS[4]}, source.clip, budget=budget)
        held, alive = [], []

        def look(done, total):
            held.append(bounded.held())
            alive.append(source.alive)

        found = dict(bounded.propagate("walk", direction=direction))  # compiles
        programs = bounded.compiled()
        arrays = len(jax.live_arrays())
        most = 0
        for number, labels in bounded.propagate("walk", direction=direction, progress=look):
            np.testing.assert_array_equal(labels, found[number])
            most = max(most, len(jax.live_arrays()) - arrays)
        assert bounded.compiled() == programs
        assert max(held) <= budget and held[5:20] == [3 * of_one] * 15
        assert max(alive) <= 1
        assert most < 24
        gc.collect()
        assert source.alive == 0

    def test_what_is_held_is_not_read_again(self):
        source = Read()
        session = opened("decoder", MARKS, source.clip)
        dict(session.propagate("walk"))
        once = len(source.read)
        session.click("walk/00004", 1, 1, 0)
        dict(session.propagate("walk", direction="both"))
        assert sorted(source.read[once:]) == [0]
        assert session.held() < CLIP_BUDGET

    def test_guidance_of_frames_that_are_not_annotated_is_not_kept(self):
        session = first("follows", budget=0).fresh()
        for name in session.add_clip("walk", frames_of()):
            session.mask(name)
        assert not any(session._features[name].guidance for name in session.names)


class TestProgress:
    @pytest.mark.parametrize(("direction", "total"), [("forward", 5), ("backward", 5), ("both", 10)])
    def test_every_step_is_told(self, direction, total):
        told = []
        session = opened("follows")
        list(session.propagate("walk", direction=direction, progress=lambda *step: told.append(step)))
        assert told == [(done, total) for done in range(1, total + 1)]

    def test_who_stops_asking_has_stopped_the_work(self):
        source = Read()
        session = opened("follows", {0: MARKS[1]}, source.clip)
        for number, _ in session.propagate("walk"):
            if number == 2:
                break
        assert max(source.read) == 2
        run = session.propagate("walk", start=3)
        run.close()
        assert max(source.read) == 2 and [number for number, _ in session.propagate("walk")] == list(range(6))

    def test_what_progress_raises_ends_the_work(self):
        def cancel(done, total):
            raise InterruptedError(f"{done} of {total}")

        with pytest.raises(InterruptedError, match="1 of 10"):
            list(opened("follows").propagate("walk", direction="both", progress=cancel))


class TestFramesAreImages:
    def test_every_call_takes_them(self, tmp_path):
        session = opened("decoder")
        session.scribble("walk/00002", [(3, 3), (9, 9)], 1)
        assert session.undo() is not None and session.mask("walk/00002").shape == SIZE
        session.save_annotations(tmp_path / "a.json")
        other = opened("decoder", {})
        other.load_annotations(tmp_path / "a.json")
        same(dict(other.propagate("walk")), dict(session.propagate("walk")))

    def test_a_clip_is_forgotten_as_a_whole(self):
        session = opened("follows")
        session.add("photo", frames_of()[0])
        with pytest.raises(
            ValueError, match="image 'walk/00001' is a frame of the clip 'walk'; remove_clip forgets all"
        ):
            session.remove("walk/00001")
        run = session.propagate("walk")
        next(run)
        session.remove_clip("walk")
        assert session.names == ("photo",) and not session.clips and session.undo() is None
        with pytest.raises(ValueError, match="the session holds no image 'walk/00002'"):
            next(run)
        session.add_clip("walk", frames_of())

    def test_sessions_with_clips_merge(self):
        one, other = opened("follows", {1: MARKS[1]}), opened("follows", {4: MARKS[4]})
        other.add_clip("run", frames_of(3))
        one.merge(other)
        assert set(one.clips) == {"run", "walk"}
        same(dict(one.propagate("walk")), dict(opened("follows").propagate("walk")))
        assert not one.fresh().clips
        shorter = opened("follows", {}, frames_of(3))
        with pytest.raises(ValueError, match="the other session: clip 'walk' has other frames there than here"):
            one.merge(shorter)


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"direction": "sideways"}, "direction is 'sideways'; it must be one of forward, backward, both$"),
            (
                {"start": 4, "stop": 4},
                "start=4, stop=4: clip 'walk' has the frames 0 to 5, and start must lie before stop",
            ),
            ({"stop": 7}, "start=1, stop=7: clip 'walk' has the frames 0 to 5"),
            ({"start": -1}, "start=-1, stop=6: clip 'walk' has the frames 0 to 5"),
            ({"start": True}, r"start is True; it must be a whole number \(int\)"),
        ],
    )
    def test_of_ranges_are_told_at_once(self, options, message):
        with pytest.raises(ValueError, match=message):
            opened("follows").propagate("walk", **options)

    def test_of_names(self):
        session = opened("follows")
        with pytest.raises(ValueError, match=r"the session holds no clip 'run'; there are: 'walk'$"):
            session.propagate("run")
        with pytest.raises(ValueError, match=r"the session holds no clip 'run'; there are: 'walk'$"):
            session.remove_clip("run")
        with pytest.raises(ValueError, match="the session holds a clip 'walk' already; remove it, or give another"):
            session.add_clip("walk", frames_of())
        with pytest.raises(ValueError, match="the name of a clip is ''; it must be a text, which is not empty"):
            session.add_clip("", frames_of())
        session.add("run/00002", frames_of()[0])
        with pytest.raises(ValueError, match="holds an image 'run/00002' already; give the clip another name"):
            session.add_clip("run", frames_of())
        assert list(session.clips) == ["walk"] and len(session.names) == 7

    def test_of_annotations(self):
        session = opened("follows", {2: ((1, 1, 0),)})
        message = "clip 'walk': no frame is annotated with an object; annotate one first, as by a click"
        for kind in KINDS:
            with pytest.raises(ValueError, match=message):
                opened(kind, {}).propagate("walk")
        with pytest.raises(ValueError, match=message):
            session.propagate("walk")
        session.click("walk/00002", 2, 2, 1)
        session.scribble("walk/00002", [(2, 2)], UNKNOWN)
        with pytest.raises(ValueError, match=message):
            session.propagate("walk")

    def test_of_frames(self, tmp_path):
        session = first("follows", canvases=((32, 32),)).fresh()
        with pytest.raises(ValueError, match=r"image 'big/00000' of 40x32 pixels .* fits none of the canvases 32x32"):
            session.add_clip("big", frames_of(2, (40, 32)))
        with pytest.raises(ValueError, match="nowhere: there is no such folder of frames or video file"):
            session.add_clip("walk", tmp_path / "nowhere")
        assert not session.names and not session.clips
        source = Read()
        source.frames = [*source.frames[:3], source.frames[3][1:]]
        session = opened("follows", {1: MARKS[1]}, source.clip)
        run = session.propagate("walk")
        assert [next(run)[0], next(run)[0]] == [1, 2]
        with pytest.raises(
            ValueError, match=r"^walk: frame 3 \(00003\) has 31x32 pixels .* the first one 32x32: a clip has"
        ):
            next(run)

    def test_of_models(self):
        session = Session(*small_model(**VARIANTS["late-local"]))
        session.add_clip("walk", frames_of())
        session.click("walk/00001", 4, 5, 1)
        with pytest.raises(ValueError, match=r"clip 'walk': mode=video: model.locality=local keeps the positions"):
            session.propagate("walk")
