"""A fake of Tencent Ads' files of numbers: one audience, one token, zipped files of hashes."""

from __future__ import annotations

import io
import re
import time
import zipfile
from email.parser import BytesParser

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour

_HASHES = {"SHA256_MOBILE_PHONE": r"[0-9a-f]{64}", "HASH_MOBILE_PHONE": r"[0-9a-fA-F]{32}"}
_SKEW = 300


class FakeTencentAds(FakeApi):
    """`members` are the hashes that are on the audience; `files` how many each file had."""

    def __init__(self, account_id: int, audience_id: int, token: str) -> None:
        super().__init__()
        self.account_id, self.audience_id, self.token = str(account_id), str(audience_id), token
        self.members: set[str] = set()
        self.files: list[tuple[str, list[str]]] = []
        self._nonces: set[str] = set()

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        match kind:
            case "throttle":
                return _error(11017, "too many requests")
            case "fail":
                return _error(50000, "system error")
            case _:
                return _error(18001, "invalid parameter")

    def serve(self, request: Request) -> Behaviour:
        if request.path != "/v3.0/custom_audience_files/add" or request.method != "POST":
            return _error(10003, "no such interface")
        query = request.query
        if query.get("access_token") != self.token:
            return _error(11002, "access token is invalid")
        if abs(time.time() - int(query.get("timestamp", "0"))) > _SKEW:
            return _error(11005, "timestamp")
        nonce = query.get("nonce", "")
        if not 1 <= len(nonce) <= 32 or nonce in self._nonces:
            return _error(11006, "nonce")
        self._nonces.add(nonce)
        fields, file = _form(request)
        kind = fields.get("user_id_type", "")
        if (fields.get("account_id"), fields.get("audience_id")) != (self.account_id, self.audience_id):
            return _error(18001, "no such audience")
        if kind not in _HASHES or fields.get("operation_type") not in ("APPEND", "REDUCE"):
            return _error(18001, "type")
        lines = _lines(file)
        if not lines or not all(re.fullmatch(_HASHES[kind], line) for line in lines):
            return _error(18002, "file")
        self.files.append((fields["operation_type"], lines))
        self.messages.append(Taken(nonce, self.audience_id, fields["operation_type"]))
        if fields["operation_type"] == "APPEND":
            self.members |= set(lines)
        else:
            self.members -= set(lines)
        return said(200, {"code": 0, "message": "", "data": {"custom_audience_file_id": len(self.files)}})


def _form(request: Request) -> tuple[dict[str, str], bytes]:
    head = f"content-type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    fields: dict[str, str] = {}
    file = b""
    for part in BytesParser().parsebytes(head + request.body).walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            continue
        if name == "file":
            file = content
        else:
            fields[name] = content.decode()
    return fields, file


def _lines(file: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            names = [name for name in archive.namelist() if name.endswith((".txt", ".csv"))]
            return archive.read(names[0]).decode().split("\n") if len(names) == 1 else []
    except (zipfile.BadZipFile, IndexError):
        return []


def _error(code: int, message: str) -> Behaviour:
    return said(200, {"code": code, "message": message, "message_cn": message})
