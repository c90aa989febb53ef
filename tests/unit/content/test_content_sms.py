"""Segments of text messages, by vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.content import sms_segments

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sms_lengths.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["why"])
def test_segments(vector: dict[str, Any]) -> None:
    text = vector["text"] * vector.get("times", 1) + vector.get("then", "")
    found = sms_segments(text, mainland=vector.get("mainland", False))
    assert (found.encoding, found.units, found.count) == (
        vector["encoding"],
        vector["units"],
        vector["segments"],
    )
