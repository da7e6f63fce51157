"""Segmenting images and clips from annotated images: what `guided_jax segment` reads, does and writes."""
