"""From files on disk to episodes: numpy only, knows no model."""
