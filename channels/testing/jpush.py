"""A fake of JPush's REST API v3. Knows one app."""

from __future__ import annotations

import base64
import json
from typing import Any

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour

MARK = "1a0018970a"
"""Registration ids begin with it."""
_FIELDS = {"platform", "audience", "notification", "message", "options", "cid", "sms_message"}


class FakeJpush(FakeApi):
    """`messages` are what devices showed."""

    def __init__(self, app_key: str, master_secret: str) -> None:
        super().__init__()
        self.app_key, self.master_secret = app_key, master_secret
        self.gone: set[str] = set()

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        devices = request.document["audience"]
        match kind:
            case "throttle":
                return _error(429, 2002, "Rate limit exceeded")
            case "fail":
                return _error(503, 1030, f"Internal service timeout for {devices}")
            case _:
                return _error(400, 1009, f"unsupported key in {request.document}")

    def serve(self, request: Request) -> Behaviour:
        login = base64.b64encode(f"{self.app_key}:{self.master_secret}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return _error(401, 1004, "Authen failed")
        if request.path != "/v3/push":
            return _error(404, 1020, "not found")
        if request.method != "POST":
            return _error(405, 1001, "only POST")
        document = request.document
        if not isinstance(document, dict) or not document.keys() >= {"platform", "audience", "notification"}:
            return _error(400, 1002, "missing a parameter")
        if document.keys() - _FIELDS:
            return _error(400, 1009, "unsupported key")
        return self._send(document)

    def _send(self, document: dict[str, Any]) -> Behaviour:
        devices = document["audience"].get("registration_id", [])
        if not 1 <= len(devices) <= 1000 or len(set(devices)) < len(devices) or not all(devices):
            return _error(400, 1003, "registration_id")
        if len(devices) == 1 and not devices[0].startswith(MARK):
            return _error(400, 1003, f"Registration id {devices[0]} is invalid")
        reached = [d for d in devices if d.startswith(MARK) and d not in self.gone]
        if not reached:
            return _error(400, 1011, "cannot find user by this audience")
        shown, options = document["notification"], document.get("options", {})
        for platform, largest in (("ios", 2000), ("android", 4000)):
            if len(json.dumps(shown[platform], ensure_ascii=False).encode()) > largest:
                return _error(400, 1005, "too large")
        collapse = options.get("apns_collapse_id", "")
        if len(collapse.encode()) > 64:
            return _error(400, 1003, "apns_collapse_id")
        android = shown["android"]
        text = f"{android.get('title', '')}\n{android['alert']}"
        msg_id = str(18100000000 + len(self.messages))
        self.messages += [Taken(collapse, device, text, msg_id, options) for device in reached]
        return said(200, {"sendno": "0", "msg_id": msg_id})


def _error(status: int, code: int, message: str) -> Behaviour:
    return said(status, {"error": {"code": code, "message": message}})
