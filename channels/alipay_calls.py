"""Calls of Alipay's gateway to a life account: a form, signed, whose `biz_content` is XML.

`alipay.service.check` asks whether the address is ours and wants our public key in a signed answer; all else
is `alipay.mobile.public.message.notify`. The form may be written in GBK.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels.alipay_http import public_half, sign, to_sign, verified
from channels.documents import BODY_LIMIT, Document, message_id, parse, text
from channels.inbound import Call, Forged, Heard, Inbound, Reply

CHECK, NOTIFY = "alipay.service.check", "alipay.mobile.public.message.notify"
CHARSETS = {"utf-8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030"}
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


class GatewayCalls:
    """Reads the calls of one app."""

    def __init__(self, app_id: str, private_key: RSAPrivateKey, alipay_key: RSAPublicKey) -> None:
        self._app_id, self._private_key, self._alipay_key = app_id, private_key, alipay_key

    def read(self, call: Call) -> Heard:
        """What one call tells, and the reply to it. Raises `Forged`."""
        form = self._verified(call)
        content = parse(_DECLARATION.sub("", form.get("biz_content", "")).encode())
        if form.get("service") == CHECK and text(content, "EventType") == "verifygw":
            return Heard(self._gateway_reply())
        inbound = self._told(content)
        return Heard(Reply(body=b"success"), inbound=() if inbound is None else (inbound,))

    def _verified(self, call: Call) -> dict[str, str]:
        if len(call.body) > BODY_LIMIT:
            raise Forged("it is too long")
        try:
            named = dict(parse_qsl(call.body.decode("ascii"))).get("charset", "utf-8").lower()
            charset = CHARSETS[named]
            form = dict(
                parse_qsl(
                    call.body.decode("ascii"), keep_blank_values=True, encoding=charset, errors="strict"
                )
            )
        except (ValueError, KeyError):
            raise Forged("it is no form") from None
        # The older calls, those of life accounts among them, sign `sign_type` too.
        kept, without = to_sign(form), to_sign(form, "sign_type")
        if form.get("sign_type") != "RSA2" or not any(
            verified(self._alipay_key, words, form.get("sign"), charset) for words in (kept, without)
        ):
            raise Forged("the signature is wrong")
        if form.get("service") not in (CHECK, NOTIFY):
            raise Forged("it is none of the calls of a gateway")
        return form

    def _gateway_reply(self) -> Reply:
        words = f"<success>true</success><biz_content>{public_half(self._private_key)}</biz_content>"
        signature = sign(self._private_key, words)
        document = (
            f'<?xml version="1.0" encoding="UTF-8"?><alipay><response>{words}</response>'
            f"<sign>{signature}</sign><sign_type>RSA2</sign_type></alipay>"
        )
        return Reply(body=document.encode(), media_type="text/xml")

    def _told(self, content: Document) -> Inbound | None:
        user, open_id = text(content, "FromAlipayUserId"), text(content, "FromOpenId")
        created = text(content, "CreateTime")
        kind, event, parameter = (text(content, name) for name in ("MsgType", "EventType", "ActionParam"))
        if text(content, "AppId") not in ("", self._app_id):
            raise Forged("it is for another app")
        if not (user or open_id) or not re.fullmatch(r"\d{10,14}", created):
            return None
        properties: dict[str, str] = {}
        match kind, event:
            case "event", "follow":
                name, properties = "followed", {"scene": _scene(parameter)}
            case "event", "unfollow":
                name = "unfollowed"
            case "event", "enter":
                name, properties = "entered", {"scene": _scene(parameter)}
            case "event", "click":
                name, properties = "menu_clicked", {"key": parameter}
            case (("text" | "image"), _):
                name, properties = "messaged", {"kind": kind, "text": _words(content)}
            case _:
                return None
        known = [("alipay", user)] if user else []
        if open_id:
            known.append(("alipay_open_id", f"{self._app_id}/{open_id}"))
        app, unique = self._app_id, text(content, "MsgId")
        words = (unique,) if unique else (user, open_id, created, event, parameter)
        return Inbound(
            f"alipay.{name}",
            datetime.fromtimestamp(int(created) / 1000, UTC),
            message_id(app, *words),
            tuple(known),
            {key: value for key, value in properties.items() if value},
        )


def _words(content: Document) -> str:
    inner = content.get("Text")
    return text(inner, "Content") if isinstance(inner, Mapping) else ""


def _scene(parameter: str) -> str:
    """`ActionParam` of a scan is JSON: {"scene": {"sceneId": "…"}}."""
    try:
        found = json.loads(parameter)
    except ValueError:
        return ""
    scene = found.get("scene") if isinstance(found, dict) else None
    return str(scene.get("sceneId", "")) if isinstance(scene, dict) else ""
