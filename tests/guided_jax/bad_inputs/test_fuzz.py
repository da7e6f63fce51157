"""Any calls of a session, good and bad, in any order: never anything but ValueError, and no trace of what failed."""

from functools import cache

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from guided_jax.episode import Click
from guided_jax.session import Session
from guided_jax.session.edits import Clear, Replace
from guided_jax.session.marks import LabelMap
from tests.guided_jax.small_models import small_model

SIZES = {"a": (9, 12), "b": (9, 12), 3: (7, 5)}
PICTURES = {
    name: np.random.default_rng(i).integers(0, 256, (*size, 3), np.uint8)
    for i, (name, size) in enumerate(SIZES.items())
}
CANVAS = (9, 12)


def dots(label, size=CANVAS):
    plane = np.full(size, 255, np.uint8)
    plane[1:4, 1:4], plane[5:, 2:] = label, 0
    return plane


names = st.one_of(st.sampled_from([*SIZES]), st.sampled_from([None, "z", ["a"], float("nan")]))
numbers = st.one_of(
    st.integers(0, 5), st.sampled_from([-1, 8, 11, 2**40, 1.5, float("nan"), True, "1", None, np.int16(2)])
)
labels = st.one_of(st.integers(0, 1), st.sampled_from([2, 255, -1, 0.0, np.uint8(1), None]))
images = st.one_of(
    st.just(None), st.sampled_from(["x.png", PICTURES["a"] / 255, PICTURES["a"][..., 0], PICTURES["a"][:0]])
)
maps = st.sampled_from(
    [dots(1), dots(1, SIZES[3]), dots(0), dots(2), dots(1) == 1, dots(1) / 1.0, np.zeros(CANVAS, np.uint8), None, "map"]
)
calls = st.one_of(
    st.tuples(st.just("add"), names, images),
    st.tuples(st.just("click"), names, numbers, numbers, labels),
    st.tuples(st.just("click"), st.sampled_from([*SIZES]), st.integers(0, 4), st.integers(0, 4), st.integers(0, 1)),
    st.tuples(st.just("annotate"), names, maps),
    st.tuples(st.just("add"), st.sampled_from([*SIZES]), st.none()),
    st.tuples(st.sampled_from(["undo", "redo", "clicks"]), st.sampled_from([*SIZES])),
    st.tuples(st.sampled_from(["undo", "redo"]), st.none()),
    st.tuples(st.sampled_from(["undo", "redo", "clear", "clicks", "mask"]), st.sampled_from([None, "z", ["a"]])),
    st.tuples(st.sampled_from(["undo", "redo", "clear", "remove", "mask", "clicks"]), names),
)


class Plain:
    """What a session must remember: images in order, every edit with its number, and what was taken back."""

    def __init__(self):
        self.names, self.done, self.undone = [], [], []

    @property
    def images(self):
        """The map and the clicks of each image, made by all edits anew."""
        images = {name: [None, []] for name in self.names}
        for _, name, edit in sorted(self.done, key=lambda each: each[0]):
            if isinstance(edit, Click):
                images[name][1].append(edit)
            else:
                images[name] = [edit.marks[0].labels() if isinstance(edit, Replace) else None, []]
        return images

    def add(self, name, image):
        self.names.append(name)

    def remove(self, name):
        self.names.remove(name)
        self.done = [each for each in self.done if each[1] != name]
        self.undone = [[each for each in edits if each[1] != name] for edits in self.undone]

    def edit(self, names, edit):
        number = max((each[0] for each in self.done), default=0) + 1
        self.done += [(number, name, edit) for name in names]
        self.undone = [] if names else self.undone

    def click(self, name, row, column, label):
        self.edit([name], Click(int(row), int(column), int(label)))

    def annotate(self, name, annotation):
        old, clicks = self.images[name]
        if clicks or old is None or (old != annotation).any():
            self.edit([name], Replace((LabelMap.of(annotation),)))

    def clear(self, name):
        images = self.images
        chosen = [name] if name is not None else self.names
        self.edit([each for each in chosen if images[each][0] is not None or images[each][1]], Clear())

    def undo(self, name):
        mine = [each[0] for each in self.done if name in (None, each[1])]
        taken = [each for each in self.done if mine and each[0] == max(mine) and name in (None, each[1])]
        self.done = [each for each in self.done if each not in taken]
        self.undone += [taken] if taken else []
        return taken[-1][2] if taken else None

    def redo(self, name):
        for edits in reversed(self.undone):
            if again := [each for each in edits if name in (None, each[1])]:
                self.done += again
                edits[:] = [each for each in edits if each not in again]
                return again[-1][2]
        return None

    def clicks(self, name):
        return tuple(self.images[name][1])

    def again(self) -> Session:
        """A fresh session with what is left."""
        session = opened().fresh()
        for name, (annotation, clicks) in self.images.items():
            session.add(name, PICTURES[name])
            if annotation is not None:
                session.annotate(name, annotation)
            for click in clicks:
                session.click(name, *click)
        return session


@cache
def opened() -> Session:
    return Session(*small_model(inference="distance"), canvases=(CANVAS,))


def test_a_session_is_what_was_taken_and_not_taken_back():
    done = set()

    # What fails is shown as it is: to make it shorter takes minutes.
    @settings(max_examples=60, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(some=st.lists(calls, min_size=10, max_size=30))
    def run(some):
        session, plain = opened().fresh(), Plain()
        for name in ("a", "b"):
            session.add(name, PICTURES[name])
            plain.add(name, None)
        for method, name, *rest in some:
            if method == "add" and rest[0] is None and isinstance(name, str | int):
                rest = [PICTURES.get(name)]
            try:
                found = getattr(session, method)(name, *rest)
            except ValueError as error:
                assert "\n" not in str(error)
                done.add((method, "refused"))
                continue
            if method == "mask":
                np.testing.assert_array_equal(found, plain.again().mask(name))
            else:
                assert getattr(plain, method)(name, *rest) == found, method
            for each in session.names[:1]:  # so that all that is kept of every annotation is there, to be stale
                session.mask(each)
            done.add((method, "idle" if method in ("undo", "redo", "clicks") and not found else "done"))
        assert session.names == tuple(plain.images)
        again = plain.again()
        for name in plain.images:
            assert session.clicks(name) == plain.clicks(name)
            np.testing.assert_array_equal(session.logits(name), again.logits(name))

    run()
    # Else a session that refuses everything would pass.
    methods = ("add", "click", "annotate", "undo", "redo", "clear", "remove", "clicks", "mask")
    assert done >= {(method, what) for method in methods for what in ("refused", "done")}
