"""Runs side by side: the plan of a sweep, and its tables."""
