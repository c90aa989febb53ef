"""A test of a message to oneself: through the channel's real adapter, marked, and in nobody's record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from channels.message import Brand, Message
from channels.routing import with_provider
from engine.content.shown import Preview
from engine.delivery.ports import LiveProject
from engine.store import clock
from workers.live import open_adapters

if TYPE_CHECKING:
    from channels.pacing import Outcome
    from engine.store.connection import AsyncEngine

MARK: Final = "[Test] "
_MARKED: Final = {"email": "subject", "sms": "text", "push": "title"}
"""The part that carries the mark. Providers fix the form of the others."""


def marked(found: Preview) -> dict[str, str]:
    """The parts, so that nobody takes the test for the real message."""
    part = _MARKED.get(found.channel)
    parts = dict(found.parts)
    if part in parts:
        parts[part] = MARK + parts[part]
    return parts


async def send_trial(
    database: AsyncEngine, project: LiveProject, message: str, found: Preview, address: str
) -> Outcome:
    """Sends what was rendered to this address; what the provider says to it.

    Its key is its own, so that no delivery is taken for done. Consent and policy are not asked: whoever sends
    a test names the address. Raises `ConfigurationError`.
    """
    async with database.connect() as connection:
        at = (await clock.load(connection)).now()
    brand = project.installation.brand
    trial = Message(
        key=f"test-{uuid4().hex}",
        channel=found.channel,
        address=address,
        parts=marked(found),
        template=message,
        at=at,
        category="transactional",
        brand=Brand(brand.get("name"), brand.get("address")),
        metadata={"locale": project.installation.locale},
        attachments=project.attachments.get(message, ()) if found.channel == "email" else (),
    )
    async with open_adapters(database, project.installation, (found.channel,)) as adapters:
        adapter = adapters[found.channel]
        return (await adapter.send([with_provider(trial, adapter.route(trial))]))[0]
