"""Links of one message: what templates see as `links`, and the short ones that go out in their place.

A code is HMAC-SHA256 over the delivery's key, the channel and the link, so that a message that is tried again
goes out byte for byte as before, and its rows are written again as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from engine.content.linking import Naming, filled, names_of_links, with_parameters, with_pixel
from engine.content.links import Link, replace_links
from engine.customers.link_tokens import About, LinkKey, base62
from engine.delivery.job import Job, Turn
from engine.ingest.landing import PARAMETER
from engine.language.installation import Links
from engine.store.consents import EVERY_PURPOSE
from engine.store.message_links import Kind, NewLink

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

CODE_LENGTH: Final = 12
"""71 bits: nobody guesses one, and a thousand million do not meet."""
_TO_SYSTEMS: Final = frozenset({"webhook"})


async def load_key(database: AsyncEngine, key: LinkKey, links: Links) -> None:
    """Has the key read, once, where links need it."""
    if links.address is not None:
        await key.load(database)


class MessageLinks:
    """The links of one job's message on one channel."""

    def __init__(self, turn: Turn, job: Job, channel: str) -> None:
        self._turn = turn
        self._job = job
        self._channel = channel
        self._rules = turn.project.installation.links
        self._naming = Naming()
        self._base = self._rules.address
        self._token = None
        if self._base is not None and channel not in _TO_SYSTEMS:
            about = About(job.enrolment.profile_id, channel, job.step.purpose or EVERY_PURPOSE)
            self._token = turn.ports.link_key.token(about)

    @property
    def unsubscribe(self) -> str | None:
        return None if self._token is None else f"{self._base}/u/{self._token}"

    @property
    def one_click(self) -> str | None:
        """For mail programs (RFC 8058): of marketing, and by https only."""
        marketing = self._job.step.category == "marketing"
        safe = self._base is not None and self._base.startswith("https://")
        return self.unsubscribe if marketing and safe else None

    def context(self) -> Mapping[str, Any]:
        """The job's context with its `links`."""
        preferences = None if self._token is None else f"{self._base}/p/{self._token}"
        return {**self._job.context, "links": names_of_links(self.unsubscribe, preferences, self._naming)}

    def shortened(self, parts: Mapping[str, str]) -> dict[str, str]:
        """The parts as they go out; the turn writes where their links lead."""
        chosen = self._rules.channels
        if self._token is None or (chosen is not None and self._channel not in chosen):
            return dict(parts)
        done = replace_links(parts, self._short, self._naming.names)
        if self._rules.track_opens and "html" in done:
            done = with_pixel(done, f"{self._base}/o/{self._keep('open', '', '')}.gif")
        return done

    def _short(self, link: Link) -> str | None:
        # Ours lead where they say: that somebody goes to unsubscribe is no click.
        if link.url == self._base or link.url.startswith(f"{self._base}/"):
            return None
        order = self._job.order
        values = {
            "journey": order.journey,
            "step": order.step,
            "template": self._job.step.template,
            "channel": self._channel,
            "link": link.name or "",
        }
        utm = {f"utm_{name}": filled(text, values) for name, text in self._rules.utm.items()}
        url = with_parameters(link.url, utm)
        return f"{self._base}/r/{self._keep('link', url, link.name or link.url)}"

    def _keep(self, kind: Kind, url: str, name: str) -> str:
        row = self._job.row
        said = "\x00".join((kind, row.key, self._channel, name, url))
        code = base62(self._turn.ports.link_key.mac(b"code", said.encode()), CODE_LENGTH)
        links = self._turn.links.setdefault(self._job.order.place, {})
        if code not in links:
            expires_at = datetime.now(UTC) + self._rules.expire
            if kind == "link" and self._rules.track_visits:
                url = with_parameters(url, {PARAMETER: code})
            links[code] = NewLink(
                code, kind, row.enrolment_id, row.step, row.entry_month, self._channel, url, name, expires_at
            )
        return code
