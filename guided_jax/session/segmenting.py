"""The part of a session that runs the model: images on canvases, guidance of the annotated ones, and what follows."""

from collections.abc import Hashable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree, UInt8

from guided_jax.compiled import CompiledMethod
from guided_jax.guides.guidance import Guidance
from guided_jax.model_checks import check_mode
from guided_jax.model_config import geometry_of, places_annotation, query_sees_annotation
from guided_jax.segmentor import Segmentor
from guided_jax.session.annotating import Annotating
from guided_jax.session.features import Features
from guided_jax.session.guidance_file import Shot
from guided_jax.session.scaling import enlarge, shrink_marks
from guided_jax.session.steps import Steps, with_features
from guided_jax.session.tasks import annotation_of, labels_at_once, power_of_two, tasks_of


class Segmenting(Annotating):
    """Runs the steps of a model on images and their annotations. `Session` sets the attributes when it opens.

    Attributes:
        _model: the network.
        _variables: its parameters, on the device.
        _steps: what is compiled of it.
        _features: the images.
        _canvases: heights and widths of canvases; none: each image has its own.
        _max_side: pixels of the longer side of an image as it is looked at; 0: its own.
        _stored: guidance that was loaded, and guides beside the annotated images.
    """

    _model: Segmentor
    _variables: PyTree
    _steps: Steps
    _features: Features
    _canvases: tuple[tuple[int, int], ...]
    _max_side: int
    _stored: tuple[Shot, ...]

    def _labels(self, name: Hashable) -> UInt8[np.ndarray, "h w"]:
        """The label of every pixel of an image at its own size."""
        size = self._at(name).size
        if self._features[name].shown == size:
            return self._segment_shown(self._steps.labels, name, edges=True)
        return labels_of_lead(self._segment(self._steps.apart, name, edges=True))

    def _segment(self, step: CompiledMethod, name: Hashable, *, edges: bool = False) -> np.ndarray:
        """What a step gives of an image, at its own size."""
        size = self._at(name).size
        return enlarge(self._segment_shown(step, name, edges=edges), size)

    def _segment_shown(self, step: CompiledMethod, name: Hashable, *, edges: bool = False) -> np.ndarray:
        """What a step gives of an image, at the size at which it is looked at."""
        tasks = tasks_of(self._model.config, self.way)
        shots = [self._shots(name, task) for task in tasks]
        image = self._features.use(name)  # after the shots, whose images may take its place
        queries = [self._query(name, task) for task in tasks]
        more = (image.edges,) if edges else ()
        pairs = tuple(zip(queries, shots, strict=True))
        result = step(self._variables, pairs, image.observed.size, *more, canvas=image.canvas)
        return np.asarray(result)[0, ..., : image.shown[0], : image.shown[1]].copy()

    def _shots(self, name: Hashable, task: int) -> tuple[Guidance, ...]:
        """Guidance of every annotated image; of an empty annotation where there is none."""
        annotated = [each for each, marked in self._marked.items() if marked.annotated]
        if self._stored or any(each != name for each in annotated):
            check_mode(self._model.config, "video", f"image {name!r}, another one is annotated: mode")
        shots = [shot[task] for shot in self._stored]
        shots += [self._guidance(each, task) for each in annotated or ([] if shots else [name])]
        shots = [shot for shot in shots if shot is not None]
        # Blank shots keep the number of programs low; but `every` counts the shots, and kept features cost time.
        missing = power_of_two(len(shots)) - len(shots)
        if missing and shots and self._model.config.merge != "every" and shots[0].weights is None:
            shots += [jax.tree.map(jnp.zeros_like, shots[0])] * missing
        return tuple(shots)

    def _query(self, name: Hashable, task: int) -> PyTree:
        """What the head sees of an image that is encoded, which may depend on the image's annotation."""
        config, image = self._model.config, self._features[name]
        if not (query_sees_annotation(config) or places_annotation(config)):
            return image.observed.query
        if task not in image.queries:
            annotation, way = self._annotation(name, task), labels_at_once(task, self.way)
            image.queries[task] = self._steps.query(self._variables, image.observed, annotation, way=way)
        return image.queries[task]

    def _guidance(self, name: Hashable, task: int) -> Guidance | None:
        """What the annotation of an image says; None where nothing guides the model."""
        kept = self._features[name].guidance
        if task not in kept:
            image, way = self._features.use(name), labels_at_once(task, self.way)
            if not image.refined:
                support = self._steps.refine(self._variables, image.observed, canvas=image.canvas)
                image.observed, image.refined = image.observed._replace(support=support), True
            shot = self._steps.guide(self._variables, image.observed, self._annotation(name, task), way=way)
            shot = None if shot is None else with_features(shot, image.observed)
            if not self._at(name).annotated:
                return shot  # only the guidance of annotated images is beyond the budget
            kept[task] = shot
        return kept[task]

    def _annotation(self, name: Hashable, task: int) -> PyTree:
        marked, image = self._at(name), self._features[name]
        marks = shrink_marks(marked.marks, marked.size, image.shown)
        return annotation_of(self._model.config, marks, image.shown, image.canvas, task)

    def _changed(self, name: Hashable) -> None:
        self._features[name].forget_annotation()

    def _canvas(self, name: Hashable, size: tuple[int, int]) -> tuple[int, int]:
        least = geometry_of(self._model.config).minimum_size
        if min(size) < least:
            raise ValueError(f"image {name!r} is {size[0]}x{size[1]}; the model's grid needs sides of {least} pixels")
        fitting = [each for each in self._canvases if each[0] >= size[0] and each[1] >= size[1]]
        if self._canvases and not fitting:
            raise ValueError(
                f"image {name!r} of {size[0]}x{size[1]} pixels (height x width) fits none of the canvases "
                f"{', '.join(f'{h}x{w}' for h, w in self._canvases)}; add a larger one, or scale the image down"
            )
        return min(fitting, key=lambda each: each[0] * each[1], default=size)


def labels_of_lead(lead: Float[np.ndarray, "l h w"]) -> UInt8[np.ndarray, "h w"]:
    """Labels of pixels, from by how much each positive label leads the negative."""
    return np.where(lead.max(0) > 0, lead.argmax(0) + 1, 0).astype(np.uint8)
