"""A real SMTP server (aiosmtpd) in the test's own event loop, that can be told to misbehave.

Needs `aiosmtpd`, which is not among the library's own dependencies.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Literal, Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

logging.getLogger("mail.log").setLevel(logging.CRITICAL)

Stage = Literal["mail", "rcpt", "data", "message"]
"""`data`: at the command DATA. `message`: once the final dot has been read."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message that the server took. `options` are those of MAIL FROM."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...] = ()

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=default)


class FakeSmtpServer:
    """`async with FakeSmtpServer() as server: … server.port … server.mails`."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        login: tuple[str, str] | None = None,
        smtputf8: bool = True,
    ) -> None:
        self.mails: list[Mail] = []
        self.sessions = 0
        self.port = 0
        self.refuse: dict[str, str] = {}
        """Recipient → the answer it gets, such as `550 5.1.1 no such user`."""
        self._tls, self._implicit, self._login, self._utf8 = tls, implicit_tls, login, smtputf8
        self._trouble: list[tuple[Stage, str]] = []
        self._server: asyncio.Server | None = None
        self._live: set[_Session] = set()

    def behave(self, stage: Stage, what: str, times: int = 1) -> None:
        """At `stage`, the next `times` times: `hang`, `drop`, or answer the given line."""
        self._trouble.extend([(stage, what)] * times)

    def kick(self) -> None:
        """Cut every session, as a server does with idle ones."""
        for session in list(self._live):
            session.cut()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Session(self), "127.0.0.1", self.port, ssl=self._tls if self._implicit else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.kick()
        if server is not None:
            await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _meet(self, stage: Stage, server: SMTP) -> str | None:
        for place, (at, what) in enumerate(self._trouble):
            if at == stage:
                del self._trouble[place]
                if what == "hang":
                    await asyncio.sleep(3600)
                if what == "drop":
                    cast(_Session, server).cut()
                    await asyncio.sleep(3600)
                return what
        return None


class _Session(SMTP):
    def __init__(self, fake: FakeSmtpServer) -> None:
        options: dict[str, Any] = {}
        if fake._tls is not None and not fake._implicit:
            options["tls_context"] = fake._tls
        if fake._login is not None:
            options.update(authenticator=_authenticator(*fake._login), auth_require_tls=False)
        super().__init__(_Handler(fake), enable_SMTPUTF8=fake._utf8, hostname="fake.invalid", **options)
        self._fake = fake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._fake._live.add(self)
        self._fake.sessions += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._fake._live.discard(self)
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:
        trouble = await self._fake._meet("data", self)
        if trouble is None:
            await super().smtp_DATA(arg)
        else:
            await self.push(trouble)

    def cut(self) -> None:
        transport = self.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class _Handler:
    def __init__(self, fake: FakeSmtpServer) -> None:
        self.fake = fake

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        trouble = await self.fake._meet("mail", server)
        if trouble is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return trouble or "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        trouble = await self.fake._meet("rcpt", server) or self.fake.refuse.get(address)
        if trouble is None:
            envelope.rcpt_tos.append(address)
        return trouble or "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), content, tuple(envelope.mail_options))
        fake = self.fake
        if any(at == "message" and what in ("hang", "drop") for at, what in fake._trouble):
            fake.mails.append(mail)  # taken, although the sender will never hear of it
        trouble = await fake._meet("message", server)
        if trouble is None:
            fake.mails.append(mail)
        return trouble or "250 2.0.0 OK"


def _authenticator(username: str, password: str) -> Any:
    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            username.encode(),
            password.encode(),
        )
        return AuthResult(success=right, handled=False) if not right else AuthResult(success=True)

    return check
