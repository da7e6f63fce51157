"""Experiments: one module per question of the paper, the runner, benchmarks. Binds data and model."""

import sys


def _tell(kind, error, trace):
    if kind is KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv and (sys.argv[0] == "-m" or sys.argv[0].endswith("guided_jax")):  # a command is being started
    sys.excepthook = _tell  # for Ctrl-C while it is imported; then `settings.exits` sees to it
