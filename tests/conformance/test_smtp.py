"""`smtp` keeps to the port, against a real SMTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.smtp import SmtpAdapter
from channels.testing.conformance import AdapterConformance, Provider, Taken, Trouble
from channels.testing.smtp_server import FakeSmtpServer

PASSWORD = "correct-horse-battery"
GOOD = {"host": "127.0.0.1", "from": "hello@example.com"}


class SmtpProvider(Provider):
    def __init__(self, fake: FakeSmtpServer) -> None:
        self.fake = fake
        fake.refuse["nobody@example.net"] = "550 5.1.1 <nobody@example.net>: no such user"

    def settings(self) -> Mapping[str, Any]:
        return {
            **GOOD,
            "port": self.fake.port,
            "tls": "none",
            "timeout": 0.4,
            "username": "kairos",
            "password": PASSWORD,
        }

    def address(self, n: int) -> str:
        return f"customer-{n}@example.net"

    def bad_address(self) -> str:
        return "nobody@example.net"

    def parts(self, words: str) -> Mapping[str, str]:
        return {"subject": words, "text": f"{words}\n"}

    def taken(self) -> Sequence[Taken]:
        found = []
        for mail in self.fake.mails:
            key = mail.message["Message-ID"].strip("<>").partition("@")[0]
            found.append(Taken(key, f"{mail.message['Subject']}\n{mail.message.get_content()}"))
        return found

    def trouble(self, kind: Trouble) -> None:
        match kind:
            case "throttle":
                self.fake.behave("rcpt", "450 4.7.1 greylisted, come back later")
            case "reject":
                self.fake.behave("message", "554 5.6.0 customer-5@example.net gets no such thing")
            case "fail":
                self.fake.behave("mail", "451 4.3.0 local error")
            case "hang" | "drop":
                self.fake.behave("message", kind)

    async def vanish(self) -> None:
        await self.fake.stop()


class TestSmtp(AdapterConformance):
    adapter = SmtpAdapter
    channel = "email"
    secret = PASSWORD
    wrong_settings = {  # noqa: RUF012
        "host": {"from": "hello@example.com"},
        "from": {**GOOD, "from": "not an address"},
        "port": {**GOOD, "port": 70000},
        "tls": {**GOOD, "tls": "maybe"},
        "ca_file": {**GOOD, "ca_file": "/no/such/file.pem"},
        "": {**GOOD, "username": "only-half-a-login"},
    }

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeSmtpServer(login=("kairos", PASSWORD)) as fake:
            yield SmtpProvider(fake)
