"""The pure core: what a journey means, with no clock, no randomness and no I/O."""
