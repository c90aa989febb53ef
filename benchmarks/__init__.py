"""Measurements and trials of the whole, outside the tests: `python -m benchmarks.NAME`."""
