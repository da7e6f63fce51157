"""Episodic training: loss, state, step, parallel execution, loop, checkpoints."""
