"""Fine-tuning, the paper's baseline (5): a segmentation network is optimised on the support of each task."""
