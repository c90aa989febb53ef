"""Fault tests call a local sink, signed with a secret of this run."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def sink_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    # Child processes inherit it.
    monkeypatch.setenv("SINK_SECRET", "whsec_" + "c2VjcmV0" * 5)
