"""Guided inference: the segmentation of a query's features, conditioned on the guidance."""
