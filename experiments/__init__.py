"""Experiments: one module per question of the paper, the runner, benchmarks. Binds data and model."""
