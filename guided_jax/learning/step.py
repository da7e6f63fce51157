"""The state, and the pure steps of training and evaluation."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, PyTree, UInt8

from guided_jax.episode import Episode
from guided_jax.guided_filter import filter_guide, filter_logits
from guided_jax.inference.labels import predict_labels
from guided_jax.inference.weight_variation import WeightSums, sum_weights
from guided_jax.learning.corrections import correct, draw_clicks
from guided_jax.learning.loss import balanced_cross_entropy, cross_entropy, dice_loss
from guided_jax.learning.optimizer import FlatParams, join, split_frozen
from guided_jax.scoring.few_shot import count_labels
from guided_jax.scoring.positive_iu import count_positives
from guided_jax.segmentor import Segmentor


class TrainState(NamedTuple):
    """All that training changes, without a device axis.

    Attributes:
        step: number of updates done.
        learning: the parameters that learn, by path.
        frozen: the parameters that do not, by path.
        opt_state: state of the optimiser, for `learning` alone.
    """

    step: Int32[Array, ""]
    learning: FlatParams
    frozen: FlatParams
    opt_state: PyTree

    @property
    def params(self) -> dict:
        """The parameter tree for `Segmentor.apply`."""
        return join(self.learning, self.frozen)


class Totals(NamedTuple):
    """Sums over a batch; divide once, at the end.

    Attributes:
        loss: sum of the cross entropy over pixels, in nats, and of the Dice loss times its weight.
        pixels: number of known pixels of the targets, times the draws.
        positives: numbers of true positive, false positive and false negative pixels.
        regressed: sums of the regressed output weights; None by other inference.
    """

    loss: Float[Array, ""]
    pixels: Int32[Array, ""]
    positives: Int32[Array, "3"]
    regressed: WeightSums | None = None


def create_state(params: dict, optimizer: optax.GradientTransformation, freeze: str) -> TrainState:
    """The state before the first update; see `split_frozen` for `freeze` and its errors."""
    learning, frozen = split_frozen(params, freeze)
    return TrainState(jnp.zeros((), jnp.int32), learning, frozen, optimizer.init(learning))


def _draw_totals(
    logits: Float[Array, "b k h w"],
    weights: Float[Array, "b r p"] | None,
    target: UInt8[Array, "b h w"],
    dice: float,
    balance: bool = False,
) -> Totals:
    loss, pixels = (balanced_cross_entropy if balance else cross_entropy)(logits, target)
    if dice:  # weighted by the pixels, so that the division by their number leaves a mean
        loss += dice * dice_loss(logits, target) * pixels.astype(jnp.float32)
    positives = count_positives(predict_labels(jax.lax.stop_gradient(logits)), target)
    regressed = None if weights is None else sum_weights(jax.lax.stop_gradient(weights))
    return Totals(loss.sum(), pixels.sum(), positives.sum(0), regressed)


def train_step(
    state: TrainState,
    batch: Episode,
    *,
    model: Segmentor,
    optimizer: optax.GradientTransformation,
    seed: int,
    accumulation: int = 1,
    corrections: int = 0,
    correction_stride: int = 1,
    dice: float = 0.0,
    balance: bool = False,
    axis_name: str | None = None,
) -> tuple[TrainState, Totals]:
    """One update. The state is donated when the step is built by `guided_jax.learning.parallel`.

    The loss is the mean over the known pixels of the whole batch, over all devices; gradients are those
    of the sum, divided once. Random numbers come from (seed, index of the episode).

    Args:
        state: before the update.
        batch: this device's episodes.
        model: the network.
        optimizer: updates `state.learning`.
        seed: seed of dropout and corrections.
        accumulation: number of parts of the batch, whose gradients are summed one after the other.
        corrections: the most clicks that are added to interactive episodes where the network errs.
        correction_stride: pixels between the places where they may lie.
        dice: weight of the Dice loss beside the cross entropy.
        balance: whether the labels of an episode weigh alike in the cross entropy.
        axis_name: name of the axis of devices under pmap; None: the batch is the whole batch.
    """

    def loss_sum(learning, part):
        params = join(learning, state.frozen)
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(part.index)
        if corrections:
            clicks = draw_clicks(seed, state.step, corrections)
            part = correct(model, params, part, keys, clicks, correction_stride)
        count = partial(_draw_totals, target=part.target, dice=dice, balance=balance)
        totals = model.apply({"params": params}, part, keys, count)
        totals = jax.tree.map(lambda leaf: leaf.sum(0), totals)
        return totals.loss, totals

    gradient = jax.grad(loss_sum, has_aux=True)
    if accumulation == 1:
        sums = gradient(state.learning, batch)
    else:
        # Strided parts: a batch sharded over devices is not moved between them.
        parts = jax.tree.map(lambda leaf: jnp.moveaxis(leaf.reshape(-1, accumulation, *leaf.shape[1:]), 1, 0), batch)
        first = jax.eval_shape(gradient, state.learning, jax.tree.map(lambda leaf: leaf[0], parts))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)
        add = partial(jax.tree.map, jnp.add)
        sums, _ = jax.lax.scan(lambda total, part: (add(total, gradient(state.learning, part)), None), zeros, parts)
    if axis_name is not None:
        sums = jax.lax.psum(sums, axis_name)
    gradients, totals = sums
    count = jnp.maximum(totals.pixels, 1).astype(jnp.float32)
    gradients = jax.tree.map(lambda g: g / count, gradients)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes ints and floats
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.learning)
    learning = optax.apply_updates(state.learning, updates)
    return state._replace(step=state.step + 1, learning=learning, opt_state=opt_state), totals


def evaluate_step(
    params: dict,
    batch: Episode,
    *,
    model: Segmentor,
    with_labels: bool = False,
    guided_filter: bool = False,
    axis_name: str | None = None,
) -> Int32[Array, "b a 6"] | tuple[Int32[Array, "b a 6"], UInt8[Array, "b a h w"]]:
    """Numbers of pixels by outcome (`scoring.few_shot.OUTCOMES`) of every episode under every draw.

    With `with_labels` the label maps that were counted come, too; with `guided_filter` logits follow the edges of the
    query's image, which must be its pixels.
    """
    del axis_name  # nothing is summed over devices: every episode keeps its own counts

    guide = filter_guide(batch.query, batch.query_size) if guided_filter else None

    def count(logits, weights):
        del weights
        if guide is not None:
            logits = filter_logits(guide, logits)
        labels = predict_labels(logits)
        counts = count_labels(labels, batch.target, batch.query_size)
        return (counts, labels) if with_labels else counts

    found = model.apply({"params": params}, batch, None, count)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), found)


def predict_step(
    params: dict, batch: Episode, *, model: Segmentor, axis_name: str | None = None
) -> UInt8[Array, "b a h w"]:
    """Label maps of every episode under every draw, on the canvas."""
    del axis_name
    labels = model.apply({"params": params}, batch, None, lambda logits, weights: predict_labels(logits))
    return jnp.moveaxis(labels, 0, 1)
