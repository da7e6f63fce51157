"""Benchmarks: each prints ratios measured in one run, and writes them as JSON."""
