"""Backbones in fully convolutional form, their geometry, and pretrained weights in and out."""
