"""Processes: one short module each, wiring only. May import everything, is imported by the CLI alone."""
