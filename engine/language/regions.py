"""Regions whose phone numbers are known."""

from __future__ import annotations


def is_region(text: str) -> bool:
    """Whether it is a region's code (ISO 3166-1, two capital letters) whose phone numbers are known."""
    # Here, since few projects name a region and every command would wait for it.
    from phonenumbers import SUPPORTED_REGIONS

    return text in SUPPORTED_REGIONS
