"""How fast a training step is, beside the same step in PyTorch, in one run and by turns.

    guided_jax benchmark train [--sizes=375x500] [--shots=0,1] [--batch=4] [--rounds=3] [--workdir=DIR]

The paper's lite guide (`interactive-late-glob-lite`: VGG-16 whole, stride 32), random weights and pixels, all of it
learning unless a row says otherwise. The rows:

- PyTorch, the reference: as the reference's code runs, one episode an update, support and query one after the other;
- PyTorch, modern: a batch in one pass, channels last, bfloat16 by autocast, the optimiser fused;
- full: ours, one episode an update and a batch of them, in float32 and bfloat16;
- frozen: the trunk does not learn; cached: nor is it run, its features come from the cache.

`--shots=0` is interactive segmentation (the support is the query), S >= 1 semantic with S support images. Each row has
its episodes a second, how many times as fast as the reference it is, the share of the device's roof that its
convolutions and products reach (operations as the compiler counts them), the compiler's temporary memory, and the
seconds of compilation. Before it is timed, the step's first loss is compared with PyTorch's on the same weights.
"""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.benchmarks.command import (
    define_result,
    need_torch,
    open_result,
    parse_numbers,
    parse_size,
    write_result,
)
from experiments.benchmarks.roof import Roof, count_operations, describe_roof, measure_roof
from experiments.benchmarks.timing import alternate, median_ratio
from experiments.settings.command_flags import own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.help_texts import Command
from guided_jax.episode import UNKNOWN, Episode
from guided_jax.learning.config import TrainConfig
from guided_jax.learning.optimizer import make_optimizer
from guided_jax.learning.step import create_state, train_step
from guided_jax.segmentor import Segmentor
from guided_jax.snapshots.layout import from_state
from guided_jax.snapshots.models import PREPROCESSING, find_model

COMMAND = Command("guided_jax benchmark train", __doc__)
MODEL = "interactive-late-glob-lite"
REFERENCE = "PyTorch, the reference"
POINTS = 5
"""Annotated pixels per label; the cost does not depend on them."""


class Way(NamedTuple):
    """One way of ours to train.

    Attributes:
        name: of the row.
        batch: episodes an update.
        dtype: that is computed in.
        freeze: as `train.freeze`.
        cached: the trunk's features stand in place of the images.
    """

    name: str
    batch: int
    dtype: str
    freeze: str = ""
    cached: bool = False


def ways(batch: int) -> list[Way]:
    """Those that are measured, for a batch size beside 1."""
    some = [Way("full, 1 episode, float32", 1, "float32"), Way("full, 1 episode, bfloat16", 1, "bfloat16")]
    if batch > 1:
        some.append(Way(f"full, {batch} episodes, bfloat16", batch, "bfloat16"))
    return [
        *some,
        Way(f"frozen, {batch} episodes, float32", batch, "float32", "trunk"),
        Way(f"cached, {batch} episodes, float32", batch, "float32", "trunk", cached=True),
    ]


def draw_episodes(batch: int, height: int, width: int, shots: int, seed: int = 0) -> Episode:
    """Random images and labels of one size; 0 shots: interactive."""
    rng = np.random.default_rng(seed)
    images = lambda *many: rng.integers(0, 256, (*many, height, width, 3), np.uint8)  # noqa: E731
    size = np.array([height, width], np.int32)
    annotation = np.full((batch, 1, shots or 1, height * width), UNKNOWN, np.uint8)
    for label in range(2):
        for each in annotation.reshape(-1, height * width):
            each[rng.integers(0, height * width, POINTS)] = label
    return Episode(
        query=images(batch),
        query_size=np.tile(size, (batch, 1)),
        target=rng.integers(0, 2, (batch, height, width), np.uint8),
        support=images(batch, shots) if shots else None,
        support_size=np.tile(size, (batch, shots, 1)) if shots else None,
        annotation=annotation.reshape(batch, 1, shots or 1, height, width),
        task_class=np.zeros(batch, np.int32),
        index=np.arange(batch, dtype=np.uint32),
        real=np.ones(batch, bool),
    )


class Step(NamedTuple):
    """A compiled training step of ours.

    Attributes:
        run: does one update.
        seconds: of the compilation.
        operations: floating-point operations of a step as the compiler counts them; 0 where it does not.
        memory: bytes of its temporary buffers.
    """

    run: Callable[[], object]
    seconds: float
    operations: float
    memory: int


def compile_step(way: Way, params: dict, episodes: Episode) -> Step:
    """Compiles one way to train for a batch of episodes, which lies on the device."""
    config = dataclasses.replace(find_model(MODEL).config, dtype=way.dtype)
    model = Segmentor(config, PREPROCESSING)
    train = TrainConfig(freeze=way.freeze)
    optimizer = make_optimizer(train)
    # A copy: the state is donated, and the parameters serve other ways.
    state = create_state(jax.tree.map(jnp.array, params), optimizer, way.freeze)
    if way.cached:
        episodes = _with_features(model, params, episodes)
    batch = jax.device_put(episodes)
    step = jax.jit(partial(train_step, model=model, optimizer=optimizer, seed=0), donate_argnums=0)
    began = time.perf_counter()
    traced = step.trace(state, batch)
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - began
    holder = [state]

    def run():
        holder[0], totals = compiled(holder[0], batch)
        return jax.block_until_ready(totals)

    return Step(run, seconds, count_operations(traced), compiled.memory_analysis().temp_size_in_bytes)


def _with_features(model: Segmentor, params: dict, episodes: Episode) -> Episode:
    encode = jax.jit(partial(model.apply, {"params": {"trunk": params["trunk"]}}, method="trunk_maps"))
    query = encode(episodes.query, episodes.query_size)
    if episodes.support is None:
        return episodes._replace(query=query)
    flat = encode(episodes.support.reshape(-1, *episodes.support.shape[2:]), episodes.support_size.reshape(-1, 2))
    support = jax.tree.map(lambda leaf: leaf.reshape(*episodes.support.shape[:2], *leaf.shape[1:]), flat)
    return episodes._replace(query=query, support=support)


def measure_training(
    height: int, width: int, shots: int, batch: int, rounds: int, roof: Roof
) -> tuple[list[dict[str, Any]], float]:
    """Times all ways to train on images of a size.

    Returns:
        The rows, and the greatest difference of the first loss from PyTorch's, in nats.
    """
    from experiments.benchmarks.torch_guided import training_step

    networks = {
        REFERENCE: (1, *training_step("reference")),
        f"PyTorch, modern, {batch} episodes": (batch, *training_step("modern")),
    }
    params = reference_params(networks[REFERENCE][1])
    difference = compare_losses(networks[REFERENCE][1], params, draw_episodes(1, height, width, shots))
    functions, rows = {}, {}
    for name, (many, _, step) in networks.items():
        functions[name] = partial(step, for_torch(draw_episodes(many, height, width, shots)))
        rows[name] = {"name": name, "batch": many}
    for way in ways(batch):
        compiled = compile_step(way, params, draw_episodes(way.batch, height, width, shots))
        functions[way.name] = compiled.run
        rows[way.name] = {"name": way.name, "batch": way.batch, "compile_seconds": compiled.seconds}
        rows[way.name] |= {"operations": compiled.operations, "temporary_bytes": compiled.memory, "dtype": way.dtype}
    for function in functions.values():  # warms up
        function()
    times = alternate(functions, rounds)
    for name, row in rows.items():
        row["ms"] = statistics.median(times[name])
        row["episodes_per_second"] = 1000 * row["batch"] / row["ms"]
        row["ratio"] = row["batch"] * median_ratio(times[REFERENCE], times[name])
        if row.get("operations"):
            row["roof"] = row["operations"] / (row["ms"] / 1000) / roof.of(row["dtype"])
    return list(rows.values()), difference


def reference_params(network) -> dict:
    """Our parameters for the weights of the PyTorch network."""
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    state = {f"{name}.weight" if name in ("anno_enc", "decoder") else name: value for name, value in state.items()}
    del state["mean"]
    return jax.tree.map(jnp.asarray, from_state(state, MODEL, way=2))


def for_torch(episodes: Episode):
    """The same episodes for the PyTorch network."""
    from experiments.benchmarks.torch_guided import TorchEpisodes

    return TorchEpisodes(episodes.query, episodes.support, episodes.annotation[:, 0], episodes.target)


def compare_losses(network, params: dict, episodes: Episode) -> float:
    """The difference between the two losses of a batch, without dropout, in nats.

    Raises:
        AssertionError: they are not the same network.
    """
    import torch
    from torch.nn import functional

    network.eval()
    with torch.no_grad():
        logits = network(for_torch(episodes), together=False)
    network.train()
    target = torch.as_tensor(episodes.target).long()
    theirs = functional.cross_entropy(logits, target, ignore_index=UNKNOWN).item()
    model = Segmentor(find_model(MODEL).config, PREPROCESSING)
    ours = jax.jit(model.apply)({"params": params}, episodes)[0]
    np.testing.assert_allclose(np.asarray(ours), logits.numpy(), atol=1e-3 * np.abs(logits.numpy()).max())
    log_p = np.asarray(jax.nn.log_softmax(ours, 1))
    chosen = np.take_along_axis(log_p, episodes.target[:, None].astype(int), 1)
    return abs(float(-chosen.mean()) - theirs)


def print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    """The table of one size."""
    print(f"\n{title}")
    print(
        f"{'':>32} {'ms a step':>10} {'episodes/s':>11} {'x reference':>12} {'of roof':>8} {'MiB':>7} {'compiled':>9}"
    )
    for row in rows:
        roof = f"{row['roof']:.0%}" if "roof" in row else ""
        memory = f"{row['temporary_bytes'] / 2**20:.0f}" if "temporary_bytes" in row else ""
        seconds = f"{row['compile_seconds']:.1f} s" if "compile_seconds" in row else ""
        speed = f"{row['ms']:>10.0f} {row['episodes_per_second']:>11.2f} {row['ratio']:>12.2f}"
        print(f"{row['name']:>32} {speed} {roof:>8} {memory:>7} {seconds:>9}")


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    values = own_flags()
    flags.DEFINE_list("sizes", ["375x500"], "`HEIGHTxWIDTH,...` of the images in pixels.", flag_values=values)
    flags.DEFINE_list("shots", ["0", "1"], "`S,...` support images; 0: interactive.", flag_values=values)
    flags.DEFINE_integer("batch", 4, "`N` episodes an update in the rows of batches.", 1, flag_values=values)
    flags.DEFINE_integer("rounds", 3, "Number `N` of timings of each way.", 1, flag_values=values)
    define_result(values, "train")
    read_flags(argv, values, COMMAND)
    sizes = [parse_size(text, "--sizes") for text in values.sizes]
    numbers = parse_numbers(values.shots, "--shots", 0, 100, "0,1,5")
    need_torch()
    workdir = open_result(values)
    roof = measure_roof()
    print(describe_roof(roof))
    tables = []
    for height, width in sizes:
        for shots in numbers:
            rows, difference = measure_training(height, width, shots, values.batch, values.rounds, roof)
            mode = f"semantic, S = {shots}" if shots else "interactive"
            print_rows(f"{height}x{width}, {mode} (first losses differ by {difference:.1e} nats)", rows)
            tables.append({"height": height, "width": width, "shots": shots, "difference": difference, "rows": rows})
    write_result(workdir, "train", {"tables": tables, "rounds": values.rounds, "roof": roof._asdict()})


if __name__ == "__main__":
    sys.exit(start(main))
