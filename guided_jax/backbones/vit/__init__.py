"""Vision transformers: DINOv2 and DINOv3, their positions on any grid, and their weights."""
