"""A fake of Meta's custom audiences: one audience, one token, rows of SHA-256 hashes."""

from __future__ import annotations

import re
from typing import Any

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour

_HASH = re.compile(r"[0-9a-f]{64}")
_KEYS = {"EMAIL", "PHONE", "EXTERN_ID", "MADID", "FN", "LN", "CT", "ST", "ZIP", "COUNTRY"}
MOST = 10_000


class FakeMetaAudience(FakeApi):
    """`members` are the (key, hash) pairs that are on the audience; `sessions` the numbers of the calls."""

    def __init__(self, audience_id: str, token: str) -> None:
        super().__init__()
        self.audience_id, self.token = audience_id, token
        self.members: set[tuple[str, str]] = set()
        self.rows: list[tuple[str, list[str]]] = []
        self.sessions: list[int] = []

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        match kind:
            case "throttle":
                return _error(400, 80003, "There have been too many calls to this ad-account.")
            case "fail":
                return _error(500, 2, "Service temporarily unavailable")
            case _:
                return _error(400, 100, f"Invalid parameter {request.body[:200].decode()}")

    def serve(self, request: Request) -> Behaviour:
        found = re.fullmatch(r"/v[0-9]+\.[0-9]+/([0-9]+)/users", request.path)
        if found is None or request.method not in ("POST", "DELETE"):
            return _error(404, 2500, "Unknown path")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _error(401, 190, "Error validating access token")
        if found[1] != self.audience_id:
            return _error(400, 100, "Unsupported request: no such audience")
        document = request.document if isinstance(request.document, dict) else {}
        payload, session = document.get("payload"), document.get("session")
        if not isinstance(payload, dict) or not isinstance(session, dict) or not _whole(session):
            return _error(400, 100, "payload and session are needed")
        schema, data = payload.get("schema"), payload.get("data")
        if not isinstance(schema, list) or not set(schema) <= _KEYS or not isinstance(data, list):
            return _error(400, 100, "schema")
        if not 1 <= len(data) <= MOST:
            return _error(400, 100, "1 to 10000 rows")
        return self._change(request.method, schema, data, session)

    def _change(self, method: str, schema: list[str], data: list[Any], session: dict[str, Any]) -> Behaviour:
        invalid = 0
        for row in data:
            if not isinstance(row, list) or len(row) != len(schema):
                return _error(400, 100, "a row does not fit the schema")
            given = {(key, value) for key, value in zip(schema, row, strict=True) if value}
            if not given or not all(_HASH.fullmatch(value) for _, value in given):
                invalid += 1
            elif method == "POST":
                self.members |= given
            else:
                self.members -= given
            self.rows.append((method, row))
        self.sessions.append(session["session_id"])
        self.messages.append(Taken(str(session["session_id"]), self.audience_id, method))
        return said(
            200,
            {
                "audience_id": self.audience_id,
                "session_id": str(session["session_id"]),
                "num_received": len(data),
                "num_invalid_entries": invalid,
                "invalid_entry_samples": {},
            },
        )


def _whole(session: dict[str, Any]) -> bool:
    wanted = ("session_id", "batch_seq", "estimated_num_total")
    return all(isinstance(session.get(name), int) for name in wanted) and "last_batch_flag" in session


def _error(status: int, code: int, message: str) -> Behaviour:
    return said(status, {"error": {"message": message, "type": "OAuthException", "code": code}})
