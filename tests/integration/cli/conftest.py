from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store.database import open_database

CATALOGUE = """
events:
  order.paid: {properties: {total: number}}
  page.viewed: {}
tags: [vip]
"""
WELCOME = """
journey: welcome
trigger: {event: page.viewed}
steps:
  - {id: cool-off, wait: {for: 1h}}
  - {id: hello, message: {template: hello, channels: [email]}}
"""
CALLED = """
journey: called
trigger: {manual: {reason: text}}
steps:
  - {id: rest, wait: {for: 1h}}
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A fresh, migrated database."""
    engine = open_database(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with one journey by event and one by hand."""
    texts = {
        "kairos.yaml": "time_zone: UTC\n",
        "journeys/catalog.yaml": CATALOGUE,
        "journeys/welcome.yaml": WELCOME,
        "journeys/called.yaml": CALLED,
        "templates/hello/email.subject.j2": "Hello\n",
        "templates/hello/email.text.j2": "Hello there\n",
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path
