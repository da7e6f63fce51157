"""From files on disk to episodes, with numpy, tfds, grain, cv2 and scipy.

It knows no model: of `guided_jax` it imports `episode` alone. No JAX of its own: grain imports it (see `loader`).
"""
