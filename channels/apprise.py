"""`apprise`: more than a hundred services through the Apprise library, for everything else.

    url: tgram://${TELEGRAM_BOT}/{address}

The library says little of what became of a send: yes, no, or too late. The rest is read from what it tells
its log, which is kept away from ours, since it quotes addresses and secrets: a status that the service
answered, or that no connection came about. Where it says neither, nobody knows (`Unknown`).
(https://github.com/caronc/apprise/wiki)
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import apprise
from apprise.manager_plugins import NotificationManager
from pydantic import Field, SecretStr, field_validator

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.http import Answer, failure
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import ANY_CHANNEL, Adapter, Capabilities, Settings
from channels.receipt import Accepted, Reason

PLACE = "{address}"
ENOUGH = 3
"""So many time-outs a send may take: an answer that drips has no other bound."""
PAUSE = timedelta(minutes=1)
"""Where a service asks for a pause, the library does not say for how long."""

_STATUS = re.compile(r"\berror=(\d{3})\b")
_NOTHING_LEFT = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "Failed to establish")


_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)
"""What the library logged during the send that is under way here; it carries its context into its threads."""


class _Ear(logging.Filter):
    """Keeps what the library logs during a send, and lets none of it through: it quotes what it sends."""

    def filter(self, record: logging.LogRecord) -> bool:
        if (lines := _heard.get()) is not None:
            lines.append(record.getMessage())
        return False


class _NotOurs(logging.Filter):
    """Drops what is logged beneath a send: addresses stand in paths."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _heard.get() is None


logging.getLogger("apprise").setLevel(logging.DEBUG)
logging.getLogger("apprise").addFilter(_Ear())
logging.getLogger("urllib3.connectionpool").addFilter(_NotOurs())


class AppriseSettings(Settings):
    """`channels.CHANNEL.settings`."""

    url: SecretStr = Field(
        description="Apprise's address of the service, with `{address}` where the profile's address goes"
    )
    timeout: float = Field(
        default=10.0, gt=0, le=60, description="Seconds to connect, and to wait for an answer"
    )
    at_once: int = Field(default=8, ge=1, le=64, description="Sends at most at once, each in a thread")

    @field_validator("url")
    @classmethod
    def _service(cls, url: SecretStr) -> SecretStr:
        scheme, found, _ = url.get_secret_value().partition("://")
        if not found or scheme.lower() not in NotificationManager():  # type: ignore[no-untyped-call]
            raise ValueError("expected an address of a service that Apprise knows, such as tgram://…")
        return url


class AppriseAdapter(Adapter):
    """One notification a message, each by a thread of its own: the library waits while it sends."""

    name = "apprise"
    channels = ANY_CHANNEL
    capabilities = Capabilities(remote=True, throttles=True)
    Settings = AppriseSettings
    settings: AppriseSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._threads: ThreadPoolExecutor | None = None
        self._asset = apprise.AppriseAsset(
            app_id="Kairos",
            async_mode=False,
            default_service_retry=0,
            service_timeout=0,  # with one the library sends by a small pool of its own
            allow_templates=False,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
        )

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.at_once)

    async def _one(self, message: Message) -> Accepted:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.settings.at_once, thread_name_prefix="apprise")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ENOUGH * self.settings.timeout):
                return await loop.run_in_executor(self._threads, self._notify, message)
        except TimeoutError:
            raise Unknown("no end of it") from None

    def _notify(self, message: Message) -> Accepted:
        title, body, is_html = _words(message)
        sender = apprise.Apprise(asset=self._asset)
        sender.add(self._service(message))
        lines: list[str] = []
        token = _heard.set(lines)
        try:
            done = sender.notify(
                body=body,
                title=title,
                body_format=apprise.NotifyFormat.HTML if is_html else apprise.NotifyFormat.TEXT,
            )
        finally:
            _heard.reset(token)
        if done:
            return Accepted()
        raise _trouble(lines)

    def _service(self, message: Message) -> apprise.NotifyBase:
        pattern = self.settings.url.get_secret_value()
        if PLACE in pattern and not message.address.strip():
            raise Rejected(Reason.ADDRESS_INVALID, "no address", permanent=True)
        url = pattern.replace(PLACE, quote(message.address, safe=""))
        service = apprise.Apprise.instantiate(url, asset=self._asset)
        if not isinstance(service, apprise.NotifyBase):
            reason = Reason.ADDRESS_INVALID if PLACE in pattern else Reason.CREDENTIALS
            raise Rejected(reason, "the service does not take such an address")
        service.socket_connect_timeout = service.socket_read_timeout = self.settings.timeout
        return service

    async def close(self) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)


def _words(message: Message) -> tuple[str, str, bool]:
    """Title, body, and whether the body is HTML. Raises `Rejected` without a body."""
    parts = message.parts
    title = parts.get("title") or parts.get("subject") or ""
    body = parts.get("body") or parts.get("text")
    if body and body.strip():
        return title, body, False
    if parts.get("html", "").strip():
        return title, parts["html"], True
    raise Rejected(Reason.CONTENT, "needs the part body, text or html")


def _trouble(told: Sequence[str]) -> Rejected | Throttled | Unavailable | Unknown:
    """What the log says; the last thing counts."""
    for line in reversed(told):
        if (status := _STATUS.search(line)) is not None:
            outcome = failure(Answer(int(status[1]), {}, b"")) or Unknown(f"HTTP {status[1]}")
            return Throttled(PAUSE, outcome.detail) if isinstance(outcome, Throttled) else outcome
        if any(words in line for words in _NOTHING_LEFT):
            return Unavailable("no connection to the service")
    return Unknown("Apprise says only that it did not succeed")
