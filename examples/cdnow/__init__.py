"""Purchases of 2,357 real customers over eighteen months, and what they say of who bought."""
