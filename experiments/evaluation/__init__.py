"""From a trained model to scores: tasks, clicks, videos, and the files of results."""
