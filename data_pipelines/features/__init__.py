"""Features of a frozen trunk, kept on disk."""
