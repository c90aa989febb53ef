"""A fake of Apple's push server: HTTP/2 without TLS, provider tokens verified. Makes its own key.

Needs `h2`, which comes with `httpx[http2]`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from channels.testing.api import Taken, Trouble

_PATH = re.compile(r"/3/device/([0-9a-fA-F]{64,200})")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UPSET: dict[str, tuple[int, str]] = {
    "throttle": (429, "TooManyRequests"),
    "fail": (503, "ServiceUnavailable"),
    "reject": (400, "BadTopic"),
}


class Refused(Exception):
    """What Apple would answer."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason


class FakeApns:
    """`messages` are what devices showed. `async with FakeApns() as fake: … fake.url`."""

    team_id, key_id, topic = "DEF123GHIJ", "ABC123DEFG", "com.example.tea"

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.messages: list[Taken] = []
        self.requests = 0
        self.connections = 0
        self.gone: set[str] = set()
        self.known: set[str] | None = None
        """Tokens of devices; None for every token that could be one."""
        self.oldest = 3600.0
        """Seconds after which a provider token has expired."""
        self.expired: set[str] = set()
        """Provider tokens that have, whatever their age."""
        self.tokens_seen: set[str] = set()
        self.port = 0
        self._troubles: deque[Trouble] = deque()
        self._server: asyncio.Server | None = None
        self.open: set[asyncio.Transport] = set()

    def key(self) -> str:
        """The .p8 file."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def trouble(self, kind: Trouble) -> None:
        """Let the next message meet this."""
        self._troubles.append(kind)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for transport in list(self.open):
            transport.abort()
        if server is not None:
            await server.wait_closed()

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str, Trouble | None]:
        """Status, reason and how the answer is lost, if it is."""
        self.requests += 1
        trouble = self._troubles.popleft() if self._troubles else None
        if trouble in _UPSET:
            return (*_UPSET[trouble], None)
        try:
            self._serve(headers, body)
        except Refused as refused:
            return refused.status, refused.reason, None
        return 200, "", trouble

    def _serve(self, headers: Mapping[str, str], body: bytes) -> None:
        path = _PATH.fullmatch(headers[":path"])
        if headers[":method"] != "POST":
            raise Refused(405, "MethodNotAllowed")
        self._verify(headers.get("authorization", ""))
        if headers.get("apns-topic") != self.topic:
            raise Refused(400, "BadTopic")
        if path is None:
            raise Refused(400, "BadDeviceToken")
        token = path[1]
        if token in self.gone:
            raise Refused(410, "Unregistered")
        if self.known is not None and token not in self.known:
            raise Refused(400, "BadDeviceToken")
        if headers.get("apns-push-type") != "alert" or headers.get("apns-priority") not in ("5", "10"):
            raise Refused(400, "InvalidPushType")
        if not _UUID.fullmatch(headers.get("apns-id", "")):
            raise Refused(400, "BadMessageId")
        if len(headers.get("apns-collapse-id", "").encode()) > 64:
            raise Refused(400, "BadCollapseId")
        if len(body) > 4096:
            raise Refused(413, "PayloadTooLarge")
        self._keep(headers, token, body)

    def _keep(self, headers: Mapping[str, str], token: str, body: bytes) -> None:
        try:
            alert: dict[str, Any] = json.loads(body)["aps"]["alert"]
            text = f"{alert.get('title', '')}\n{alert['body']}"
        except (ValueError, KeyError, TypeError):
            raise Refused(400, "PayloadEmpty") from None
        collapse = headers.get("apns-collapse-id", "")
        self.messages.append(Taken(collapse, token, text, headers["apns-id"], dict(headers)))

    def _verify(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(403, "MissingProviderToken")
        head, _, rest = token.partition(".")
        claims, _, signature = rest.partition(".")
        try:
            raw = _bytes(signature)
            r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
            text = f"{head}.{claims}".encode()
            self._private.public_key().verify(encode_dss_signature(r, s), text, ec.ECDSA(SHA256()))
            header, said = json.loads(_bytes(head)), json.loads(_bytes(claims))
        except (InvalidSignature, ValueError):
            raise Refused(403, "InvalidProviderToken") from None
        if header.get("alg") != "ES256" or header.get("kid") != self.key_id or said["iss"] != self.team_id:
            raise Refused(403, "InvalidProviderToken")
        if time.time() - said["iat"] > self.oldest or token in self.expired:
            raise Refused(403, "ExpiredProviderToken")
        self.tokens_seen.add(token)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(slots=True)
class _Stream:
    headers: Mapping[str, str]
    body: bytearray = field(default_factory=bytearray)


class _Connection(asyncio.Protocol):
    """One HTTP/2 connection, by prior knowledge."""

    def __init__(self, fake: FakeApns) -> None:
        self.fake = fake
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams: dict[int, _Stream] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.fake.open.add(transport)
        self.fake.connections += 1
        self.http.initiate_connection()
        transport.write(self.http.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        self.fake.open.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        try:
            events = self.http.receive_data(data)
        except ProtocolError:
            self.transport.abort()
            return
        for event in events:
            if isinstance(event, RequestReceived):
                headers = {str(name): str(value) for name, value in event.headers or []}
                self.streams[event.stream_id or 0] = _Stream(headers)
            elif isinstance(event, DataReceived):
                stream_id = event.stream_id or 0
                self.streams[stream_id].body += event.data or b""
                self.http.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
            elif isinstance(event, StreamReset):
                self.streams.pop(event.stream_id or 0, None)
            elif isinstance(event, StreamEnded):
                self.ended(event.stream_id or 0)
        if not self.transport.is_closing():
            self.transport.write(self.http.data_to_send())

    def ended(self, stream_id: int) -> None:
        stream = self.streams.pop(stream_id)
        status, reason, trouble = self.fake.take(stream.headers, bytes(stream.body))
        if trouble == "hang":
            return
        if trouble == "drop":
            self.transport.abort()
            return
        body = json.dumps({"reason": reason}).encode() if reason else b""
        headers = [(":status", str(status)), ("apns-id", stream.headers.get("apns-id", ""))]
        self.http.send_headers(stream_id, headers, end_stream=not body)
        if body:
            self.http.send_data(stream_id, body, end_stream=True)
