"""One rule a file, named for its reason. See `engine.policy`."""
