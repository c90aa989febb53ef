"""Alipay's gateway as a fake: verifies every signature, signs every answer, and checks the fields it knows.

One fake for life account and mini-program. It shares no signing code with the adapters. How many messages a
person may get is nowhere written in public: `allowance` is yours. Sub codes of refusals are examples.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from channels.inbound import Call
from channels.testing.sink import Behaviour, FakeHttpSink
from channels.testing.wechat_calls import xml

CUSTOM = "alipay.open.public.message.custom.send"
SINGLE = "alipay.open.public.message.single.send"
MINI = "alipay.open.app.mini.templatemessage.send"
NEEDED = ("app_id", "method", "charset", "sign_type", "timestamp", "version", "biz_content", "sign")


@dataclass(frozen=True, slots=True)
class Taken:
    method: str
    to: str
    content: Mapping[str, Any] = field(repr=False)


class KeyPair:
    """RSA keys as a console shows them: base64 without armour."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.private = b64encode(
            self.key.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        ).decode()
        self.public = b64encode(
            self.key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).decode()

    def sign(self, words: bytes) -> str:
        return b64encode(self.key.sign(words, padding.PKCS1v15(), hashes.SHA256())).decode()


class Refused(Exception):
    def __init__(self, code: str, sub_code: str = "", message: str = "refused") -> None:
        super().__init__(code, sub_code, message)
        self.node = {"code": code, "msg": message, "sub_code": sub_code, "sub_msg": message}


class FakeAlipay(FakeHttpSink):
    """`async with FakeAlipay(app_id, app_public_key) as fake: … fake.url … fake.sent … fake.public_key`."""

    def __init__(
        self,
        app_id: str,
        app_public_key: str,
        *,
        templates: Mapping[str, tuple[str, ...]] | None = None,
        allowance: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`templates`: id → the names of its fields. `allowance`: messages for one person."""
        super().__init__()
        self.app_id, self.templates, self.allowance = app_id, templates or {}, allowance
        self.people: set[str] = set()
        self.sent: list[Taken] = []
        self.sign_answers = True
        self._keys = KeyPair()
        self._app_key = serialization.load_der_public_key(b64decode(app_public_key))
        self._clock = clock
        self._say: deque[tuple[str, str]] = deque()
        self._had: Counter[str] = Counter()

    @property
    def public_key(self) -> str:
        return self._keys.public

    def say(self, code: str, sub_code: str = "", times: int = 1) -> None:
        """Answer the next `times` calls with this refusal."""
        self._say.extend([(code, sub_code)] * times)

    def call(self, at: datetime, document: Mapping[str, Any], **changes: str) -> Call:
        """A call of the gateway to a life account; it signs `sign_type` too, as the real one does."""
        words = xml(
            {"AppId": self.app_id, "CreateTime": str(int(at.timestamp() * 1000)), **document}
        ).decode()
        form = {
            **{"service": "alipay.mobile.public.message.notify", "charset": "GBK", "sign_type": "RSA2"},
            **{"biz_content": f'<?xml version="1.0" encoding="gbk"?>{words}', **changes},
        }
        signed = "&".join(f"{name}={form[name]}" for name in sorted(form))
        form["sign"] = self._keys.sign(signed.encode("gbk"))
        body = urlencode(form, encoding="gbk").encode()
        return Call("POST", {}, {"content-type": "application/x-www-form-urlencoded"}, body, at)

    def take(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Behaviour:
        behaviour = super().take(method, path, headers, body)
        if behaviour.kind not in ("ok", "hang", "drop") or behaviour.answer is not None:
            return behaviour
        if method != "POST" or urlsplit(path).query != "charset=utf-8":
            return Behaviour("fail", status=400, answer={})
        form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        name = form.get("method", "").replace(".", "_") + "_response"
        try:
            self._check(form)
            if self._say:
                raise Refused(*self._say.popleft())
            node = {"code": "10000", "msg": "Success", **self._judge(form["method"], form["biz_content"])}
        except Refused as refused:
            node = refused.node
        answer: dict[str, Any] = {name: node}
        if self.sign_answers:
            # The node as the server writes it.
            answer["sign"] = self._keys.sign(json.dumps(node).encode())
        return Behaviour(behaviour.kind, answer=answer)

    def _check(self, form: Mapping[str, str]) -> None:
        for name in NEEDED:
            if not form.get(name):
                raise Refused("40001", f"isv.missing-{name.replace('_', '-')}")
        if form["app_id"] != self.app_id:
            raise Refused("40002", "isv.invalid-app-id")
        if (form["sign_type"], form["version"], form["charset"]) != ("RSA2", "1.0", "utf-8"):
            raise Refused("40002", "isv.invalid-signature-type")
        words = "&".join(f"{k}={form[k]}" for k in sorted(form) if k != "sign" and form[k])
        assert isinstance(self._app_key, rsa.RSAPublicKey)
        try:
            self._app_key.verify(b64decode(form["sign"]), words.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            raise Refused("40002", "isv.invalid-signature") from None
        try:
            at = datetime.strptime(form["timestamp"] + "+0800", "%Y-%m-%d %H:%M:%S%z")
        except ValueError:
            raise Refused("40002", "isv.invalid-timestamp") from None
        if abs(at - self._clock()) > timedelta(minutes=15):
            raise Refused("40002", "isv.invalid-timestamp")

    def _judge(self, method: str, text: str) -> dict[str, str]:
        content = json.loads(text)
        if method == CUSTOM:
            field = {"text": "text", "image-text": "articles"}.get(str(content.get("msg_type")), "")
            fine = bool(content.get(field)) and ("to_user_id" in content) != ("open_id" in content)
            to = content.get("to_user_id") or content.get("open_id")
        elif method == SINGLE:
            template = content.get("template") or {}
            names = set(self.templates.get(str(template.get("template_id")), ()))
            fine = bool(names) and names <= set(template.get("context") or ())
            to = content.get("to_user_id") or content.get("to_open_id")
        elif method == MINI:
            names = set(self.templates.get(str(content.get("user_template_id")), ()))
            data = content.get("data")
            fine = isinstance(data, str) and len(data) <= 2048 and bool(names)
            fine = fine and set(json.loads(data)) == names and 0 < len(content.get("page", "")) <= 128
            to = content.get("to_user_id") or content.get("to_open_id")
        else:
            raise Refused("40006", "isv.insufficient-isv-permissions")
        if not fine or not to:
            raise Refused("40002", "isv.invalid-parameter")
        if to not in self.people:
            raise Refused("40004", "NO_SUCH_PERSON")
        if self.allowance is not None and self._had[to] >= self.allowance:
            raise Refused("40004", "TOO_MANY_FOR_THIS_PERSON")
        self._had[to] += 1
        self.sent.append(Taken(method, to, content))
        return {"message_id": f"m-{len(self.sent)}"} if method == CUSTOM else {}
