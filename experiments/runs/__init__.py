"""A run: its folder, its data, its features, its metrics, and the model that comes of it."""
