"""Builds the data sets and the cached features of an experiment ahead of its runs; trains nothing.

    guided_jax prepare --config=interactive --config.data.root=DATA --config.weights=WEIGHTS

A run builds what is missing by itself, when it starts. Ahead of it this is for machines whose time is dear, or for
several runs that would all wait. What is there already is left as it is, and told again.
"""

import sys
from collections.abc import Sequence

import jax
import numpy as np

from data_pipelines.datasets.mixture import parse_sources
from data_pipelines.tasks import count_tasks
from experiments.experiment import initial_parameters, open_features
from experiments.runs.data import OpenSource, build_source, open_evaluation, open_training
from experiments.settings.checks import check_config
from experiments.settings.command_flags import define_config, override, own_flags, read_flags
from experiments.settings.command_line import start
from experiments.settings.config import Config
from experiments.settings.config_files import list_configs, load_config
from experiments.settings.errors import UserError, user_mistakes
from experiments.settings.help_texts import Command
from experiments.settings.hosts import by_hosts, define_distributed, join_hosts, together

COMMAND = Command(
    "guided_jax prepare",
    __doc__,
    fields="Another value for a field of the configuration: --config.data.root=DATA is where the data sets are, "
    "--config.data.prepared=DIR where what is made of them goes.",
)


def prepare(config: Config) -> list[str]:
    """Builds the sources of training and evaluation, and fills the cache of features where there is one.

    Several hosts share the sources and the images; where they have no disk in common, each then does what it lacks.

    Args:
        config: of the experiment; the batch size need not fit the devices of this machine.

    Returns:
        What is there now, a line each.

    Raises:
        ValueError, DatasetError: what a user can mend.
    """
    with together(), user_mistakes():
        check_config(config, training=False)
        # First: a download may fail, and data sets can take hours to build.
        model_and_params = initial_parameters(config) if config.train.cache_features else None
    if jax.process_count() > 1:  # a single one builds them where they are opened
        sources = [*parse_sources(config.data.train), *parse_sources(config.eval.source)]
        by_hosts(lambda source: build_source(config, source).directory, sources)
    with together(), user_mistakes():
        eval_source, train_sources = open_evaluation(config), open_training(config)
    lines = [_describe("data.train", each) for each in train_sources] + [_describe("eval.source", eval_source)]
    if model_and_params:
        store = open_features(config, *model_and_params, train_sources, eval_source).store
        kept = sum(1 for _ in store.directory.glob("*/*.safetensors"))
        lines.append(f"train.cache_features: features of {kept} images (each view counted) in {store.directory}")
    return lines


def _describe(field: str, opened: OpenSource) -> str:
    images = len(np.unique(opened.tasks.record))
    split = opened.split
    return (
        f"{field}: {split.name}, {count_tasks(opened.tasks)} tasks of unit {opened.source.unit} in {images} images, "
        f"version {split.version}, in {split.directory}"
    )


def main(argv: Sequence[str]) -> None:
    """The command line, the first word of which is the program's name.

    Raises:
        UserError: what a user can mend.
    """
    values = own_flags()
    define_config(values)
    define_distributed(values)
    _, overrides = read_flags(argv, values, COMMAND)
    if values.config is None:
        raise UserError(f"--config=FILE.py is missing; there are: {list_configs()}")
    config = override(load_config(values.config), overrides, list(values))
    if values.distributed:
        join_hosts()
    with user_mistakes():
        lines = prepare(config)
    if jax.process_index() == 0:
        print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(start(main))
