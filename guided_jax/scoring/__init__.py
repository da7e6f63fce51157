"""Measures of segmentation, each from summed counts, with its published definition."""
