"""Measurements and trials of the whole, outside the tests: `python -m benchmarks.NAME`."""

import os

# The systems that journeys call run on this machine.
os.environ.setdefault("KAIROS_ALLOW_PRIVATE", "1")
