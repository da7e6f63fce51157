"""Pictures: episodes, curves, lines."""
