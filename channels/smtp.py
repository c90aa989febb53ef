"""`smtp`: e-mail through any SMTP server.

The one instant that matters is when the message's final dot is handed to the connection. Lost before it:
the server has nothing (`Unavailable`). Lost after it: it may have the message (`Unknown`). An answer always
decides, and after the final dot only an answer does (RFC 5321 §6.1).

| answer | outcome |
|---|---|
| 4xx with 4.7.x, and 4.2.1, 4.3.2 | `Throttled`: asked to slow down or greylisted |
| other 4xx | `Unavailable` |
| 5xx | `Rejected`, its reason by the enhanced code (RFC 3463), else by the stage it came at |
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Sequence
from datetime import timedelta
from email.errors import HeaderParseError, MessageError
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from typing import Any, Literal

import aiosmtplib
from aiosmtplib.errors import SMTPException, SMTPResponseException
from pydantic import Field, FilePath, SecretStr, field_validator

from channels.errors import ConfigurationError, Rejected, Throttled, Unavailable, Unknown
from channels.message import Attachment, Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Capabilities, Settings
from channels.receipt import Accepted, Reason

PAUSE = timedelta(seconds=60)
"""SMTP has no Retry-After; greylisting asks for a minute or more."""

_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,255}")
_ATOM = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_NONSENSE = aiosmtplib.SMTPStatus.invalid_response.value
_LINE_BREAK = re.compile(r"[\r\n\x00]")

# Enhanced code (subject.detail) → reason, and whether the address is dead for later messages too.
_REASONS: dict[str, tuple[Reason, bool]] = {
    "1.0": (Reason.ADDRESS_UNKNOWN, False),
    "1.1": (Reason.ADDRESS_UNKNOWN, True),
    "1.2": (Reason.ADDRESS_UNKNOWN, True),
    "1.3": (Reason.ADDRESS_INVALID, True),
    "1.6": (Reason.ADDRESS_UNKNOWN, True),
    "1.10": (Reason.ADDRESS_UNKNOWN, True),  # null MX, RFC 7505
    "2.1": (Reason.BLOCKED, True),
    "2.2": (Reason.MAILBOX_FULL, False),
    "2.3": (Reason.TOO_LARGE, False),
    "3.4": (Reason.TOO_LARGE, False),
    "5.3": (Reason.QUOTA, False),
    "6.0": (Reason.CONTENT, False),
    "7.0": (Reason.BLOCKED, False),
    "7.1": (Reason.BLOCKED, False),
    "7.8": (Reason.CREDENTIALS, False),
    "7.9": (Reason.CREDENTIALS, False),
}
_BY_STAGE = {
    "connect": Reason.BLOCKED,
    "login": Reason.CREDENTIALS,
    "sender": Reason.CREDENTIALS,
    "recipient": Reason.ADDRESS_UNKNOWN,
    "content": Reason.CONTENT,
}


class SmtpSettings(Settings):
    """`channels.email.settings`."""

    together = (("username", "password"),)

    host: str = Field(min_length=1, description="Name or address of the server")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Port; by default 587, 465 with `tls`, 25 with `none`"
    )
    tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is protected"
    )
    ca_file: FilePath | None = Field(
        default=None, description="Certificates to trust instead of the system's"
    )
    username: str | None = Field(default=None, description="Name to log in with")
    password: SecretStr | None = Field(default=None, description="Password to log in with")
    sender: str = Field(alias="from", description="Sender, `hello@example.com` or `Shop <hello@example.com>`")
    reply_to: str | None = Field(default=None, description="Where answers go")
    timeout: float = Field(default=10.0, gt=0, le=300, description="Seconds for each step of the dialogue")
    connections: int = Field(default=4, ge=1, le=100, description="Connections at most at once")

    @field_validator("sender", "reply_to")
    @classmethod
    def _mailbox(cls, text: str | None) -> str | None:
        if text is not None and not _ADDRESS.fullmatch(parseaddr(text)[1]):
            raise ValueError("expected an e-mail address, such as hello@example.com")
        return text


class SmtpAdapter(Adapter):
    """Keeps up to `connections` sessions open and reuses them."""

    name = "smtp"
    channels = frozenset({"email"})
    capabilities = Capabilities(remote=True, checks_address=True, throttles=True, one_click_unsubscribe=True)
    Settings = SmtpSettings
    settings: SmtpSettings

    def __init__(self, channel: str, settings: Any, **rest: Any) -> None:
        super().__init__(channel, settings, **rest)
        self._idle: list[aiosmtplib.SMTP] = []
        self._context: ssl.SSLContext | None = None

    async def open(self) -> None:
        if self.settings.tls != "none":
            try:
                self._context = ssl.create_default_context(cafile=self.settings.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(
                    f"kairos.yaml: channels.{self.channel}.settings.ca_file: no certificates to read: {error}"
                ) from error

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await each(messages, self._one, pacer=self.pacer, at_once=self.settings.connections)

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for session in idle:
            try:
                await session.quit(timeout=1)
            except (SMTPException, OSError):
                session.close()

    async def _one(self, message: Message) -> Accepted:
        recipient = check_address(message.address)
        mail = compose(message, recipient, self.settings.sender, self.settings.reply_to)
        while True:
            session, used = await self._session()
            try:
                outcome = await self._transact(session, mail, recipient)
            except _Ended as ended:
                session.close()
                if used:  # an idle session that the server had closed: nothing was sent, take another
                    continue
                raise ended.outcome from None
            except BaseException:
                # Whatever it was, a cancelled task too: the dialogue may be half way through a command.
                session.close()
                raise
            # Answered, so the session is in order again, also after a refusal.
            if session.is_connected:
                self._idle.append(session)
            if isinstance(outcome, Accepted):
                return outcome
            raise outcome

    async def _session(self) -> tuple[aiosmtplib.SMTP, bool]:
        while self._idle:
            session = self._idle.pop()
            if session.is_connected:
                return session, True
        s = self.settings
        session = aiosmtplib.SMTP(
            hostname=s.host,
            port=s.port or {"starttls": 587, "tls": 465, "none": 25}[s.tls],
            timeout=s.timeout,
            use_tls=s.tls == "tls",
            start_tls=s.tls == "starttls",
            tls_context=self._context,
        )
        stage = "connect"
        try:
            await session.connect()
            stage = "login"
            if s.username is not None and s.password is not None:
                await session.login(s.username, s.password.get_secret_value())
        except SMTPResponseException as error:
            session.close()
            raise _answered(error.code, error.message, stage) from None
        except (SMTPException, OSError, ValueError) as error:
            session.close()
            raise Unavailable(f"{stage}: {type(error).__name__}") from None
        return session, False

    async def _transact(
        self, session: aiosmtplib.SMTP, mail: EmailMessage, recipient: str
    ) -> Accepted | Rejected | Throttled | Unavailable:
        """One message. What the server answered is returned; raised is what leaves the session unusable."""
        international = not recipient.isascii()
        content = mail.as_bytes(policy=_POLICY.clone(utf8=international))
        options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
        stage = "sender"
        try:
            if international and session.is_ehlo_or_helo_needed:
                await session.ehlo()
            if international and not session.supports_extension("smtputf8"):
                return Rejected(Reason.ADDRESS_INVALID, "the server takes no addresses beyond ASCII")
            await session.mail(parseaddr(self.settings.sender)[1], options=options, encoding="utf-8")
            stage = "recipient"
            await session.rcpt(recipient, encoding="utf-8")
            stage = "content"
            code, text = await session.execute_command(b"DATA")
            if code != 354:
                raise SMTPResponseException(code, text)
        except SMTPResponseException as error:
            if error.code == _NONSENSE:
                raise Unavailable("an answer that is not SMTP, before the message") from None
            outcome = _answered(error.code, error.message, stage)
            if error.code == 421:  # the server is closing the session
                raise _Ended(outcome) from None
            await self._start_over(session)
            return outcome
        except aiosmtplib.SMTPServerDisconnected:
            raise _Ended(Unavailable("the connection was closed before the message")) from None
        except (SMTPException, OSError) as error:
            raise Unavailable(f"{type(error).__name__} before the message") from None
        return await self._hand_over(session, content, str(mail["Message-ID"]))

    async def _hand_over(
        self, session: aiosmtplib.SMTP, content: bytes, message_id: str
    ) -> Accepted | Rejected | Throttled | Unavailable:
        """Everything from the message's first byte: only an answer tells what became of it."""
        body = re.sub(rb"(?m)^\.", b"..", content)
        end = b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n"
        try:
            assert session.protocol is not None
            session.protocol.write(body + end)
        except (AssertionError, SMTPException, OSError) as error:
            raise Unavailable(f"{type(error).__name__} before the message") from None
        try:
            code, text = await session.protocol.read_response(timeout=self.settings.timeout)
        except SMTPResponseException as error:
            raise Unknown("an answer that is not SMTP, after the message", raw=error.message) from None
        except (SMTPException, OSError) as error:
            raise Unknown(f"{type(error).__name__} after the message") from None
        if code == 421:
            session.close()
        if not 200 <= code < 300:
            return _answered(code, text, "content")
        return Accepted(message_id, f"{code} {text}")

    async def _start_over(self, session: aiosmtplib.SMTP) -> None:
        # A refusal must not cost the session: the next message may be fine.
        try:
            await session.rset(timeout=self.settings.timeout)
        except (SMTPException, OSError):
            session.close()


class _Ended(Exception):
    """The server ended the session before it got a message."""

    def __init__(self, outcome: Rejected | Throttled | Unavailable) -> None:
        self.outcome = outcome


class _Verbatim:
    """A header that is written as it is. The standard library would encode a long URL or id as a word."""

    max_count = 1

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        UnstructuredHeader.parse(value, kwds)

    def fold(self, *, policy: Any) -> str:
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined]


_HEADERS = HeaderRegistry()
for _name in ("list-unsubscribe", "list-unsubscribe-post", "message-id"):
    _HEADERS.map_to_type(_name, _Verbatim)  # type: ignore[arg-type]
_POLICY = SMTP_POLICY.clone(header_factory=_HEADERS)


def _answered(code: int, text: str, stage: str) -> Rejected | Throttled | Unavailable:
    enhanced = _ENHANCED.search(text)
    number = f"{enhanced[2]}.{enhanced[3]}" if enhanced else ""
    detail = f"SMTP {code}{f' {enhanced[0]}' if enhanced else ''} at {stage}"
    raw = f"{code} {text}"
    if code < 500:
        if number.startswith("7.") or number in ("2.1", "3.2"):
            return Throttled(PAUSE, detail, raw=raw)
        return Unavailable(detail, raw=raw)
    reason, permanent = _REASONS.get(number, (None, False))
    if reason is None:
        if code == 552:
            reason = Reason.MAILBOX_FULL if stage == "recipient" else Reason.TOO_LARGE
        else:
            reason = Reason.BLOCKED if number.startswith("7.") else _BY_STAGE[stage]
            # 550 at RCPT without an enhanced code is how older servers say "no such user".
            permanent = reason is Reason.ADDRESS_UNKNOWN and not number and code in (550, 553)
    return Rejected(reason, detail, permanent=permanent, raw=raw)


def check_address(address: str) -> str:
    """The address with its domain in ASCII (IDNA). Raises `Rejected` if it cannot be one."""
    if not _ADDRESS.fullmatch(address):
        raise Rejected(Reason.ADDRESS_INVALID, "not an e-mail address", permanent=True)
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        raise Rejected(Reason.ADDRESS_INVALID, "not a domain name", permanent=True) from None


def compose(message: Message, recipient: str, sender: str, reply_to: str | None = None) -> EmailMessage:
    """The e-mail, equal byte for byte on every attempt except for multipart boundaries.

    Raises `Rejected(content)` for a missing part or a line break in a header, which could smuggle in more.
    """
    subject = message.parts.get("subject", "").strip()
    text, html = message.parts.get("text"), message.parts.get("html")
    if not subject or text is None:
        raise Rejected(Reason.CONTENT, "an e-mail needs the parts subject and text")
    name, address = parseaddr(sender)
    name = name or message.brand.name or ""
    if _LINE_BREAK.search(name):
        raise Rejected(Reason.CONTENT, "a line break in the sender's name")
    headers = {
        "Subject": subject,
        "From": Address(name, addr_spec=address),
        "To": recipient,
        "Date": format_datetime(message.at),
        "Message-ID": f"<{_local_id(message.key)}@{address.rpartition('@')[2]}>",
        "Auto-Submitted": "auto-generated",
    }
    if reply_to is not None:
        headers["Reply-To"] = reply_to
    if message.unsubscribe_url is not None:
        # RFC 8058 §3.1: both headers, one https URI. DKIM must sign both; that is the server's part.
        headers["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    ours = {header.lower() for header in headers}
    if any(header.lower() in ours for header in message.headers):
        raise Rejected(Reason.CONTENT, "a header that is the adapter's own")
    headers.update(message.headers)
    mail = EmailMessage(policy=_POLICY)
    for header, value in headers.items():
        if not _HEADER_NAME.fullmatch(header):
            raise Rejected(Reason.CONTENT, "a malformed header name")
        if _LINE_BREAK.search(str(value)):
            raise Rejected(Reason.CONTENT, f"a line break in the header {header}")
        try:
            mail[header] = value
        except (ValueError, HeaderParseError, MessageError) as error:
            raise Rejected(Reason.CONTENT, f"header {header}: {type(error).__name__}") from None
    mail.set_content(text, cte="quoted-printable")
    if html is not None:
        mail.add_alternative(html, subtype="html", cte="quoted-printable")
    _attach(mail, message.attachments)
    return mail


def _attach(mail: EmailMessage, attachments: Sequence[Attachment]) -> None:
    shown = mail.get_body(("html",))
    for file in sorted(attachments, key=lambda file: file.content_id is None):
        maintype, _, subtype = file.content_type.partition("/")
        if _LINE_BREAK.search(file.name) or _LINE_BREAK.search(file.content_id or "") or not subtype:
            raise Rejected(Reason.CONTENT, "an attachment with a malformed name or type")
        if file.content_id is not None and isinstance(shown, EmailMessage):
            shown.add_related(
                file.content,
                maintype,
                subtype,
                cid=f"<{file.content_id}>",
                filename=file.name,
                disposition="inline",
            )
        else:
            mail.add_attachment(file.content, maintype, subtype, filename=file.name)


def _local_id(key: str) -> str:
    return key if len(key) <= 64 and _ATOM.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()
