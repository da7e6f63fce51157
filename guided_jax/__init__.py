"""Guided networks for few-shot segmentation, in JAX and Flax.

Importing the package imports nothing else: `guided_jax.episode` stays light enough for the
processes of a data loader.
"""
