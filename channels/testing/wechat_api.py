"""What every fake of a WeChat house shares: tokens that end and are revoked, and answers by `errcode`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from channels.testing.sink import Behaviour, FakeHttpSink


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the fake took."""

    path: str
    to: str
    document: Mapping[str, Any] = field(repr=False)
    id: str = ""


class Refused(Exception):
    """Raised while a call is judged: the `errcode` to answer with."""

    def __init__(self, code: int, words: str = "refused") -> None:
        super().__init__(code, words)
        self.code, self.words = code, words


class FakeTokenApi(FakeHttpSink, ABC):
    """Hands out tokens, asks for them, and answers as `judge` says. `say` makes the next sends fail."""

    lasts = 7200
    refused_token = 40001

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self.token = 0
        self.token_calls = 0
        self._say: deque[int] = deque()

    def say(self, code: int, times: int = 1) -> None:
        """Answer the next `times` sends with this `errcode`."""
        self._say.extend([code] * times)

    def revoke(self) -> None:
        """The token in use is good no longer, as when somebody else forces a new one."""
        self.token += 1

    def issue(self) -> dict[str, Any]:
        self.token_calls += 1
        return {"access_token": f"token-{self.token}", "expires_in": self.lasts}

    @abstractmethod
    def give_token(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
        """The answer to a request for a token; None if this is none."""

    @abstractmethod
    def judge(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Take one call and return the answer's fields, or raise `Refused`."""

    def take(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Behaviour:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            given = self.give_token(method, parts.path, query, body)
        except Refused as refused:
            return Behaviour(answer={"errcode": refused.code, "errmsg": refused.words})
        if given is not None:
            return Behaviour(answer=given)
        behaviour = super().take(method, path, headers, body)
        if behaviour.kind not in ("ok", "hang", "drop") or behaviour.answer is not None:
            return behaviour
        try:
            if query.get("access_token") != f"token-{self.token}":
                raise Refused(self.refused_token, "invalid credential, access_token is invalid")
            if method != "POST" or not body.startswith(b"{"):
                raise Refused(47001, "data format error")
            if self._say:
                raise Refused(self._say.popleft())
            answer = {"errcode": 0, "errmsg": "ok", **self.judge(parts.path, json.loads(body))}
        except Refused as refused:
            answer = {"errcode": refused.code, "errmsg": refused.words}
        except ValueError:
            answer = {"errcode": 47001, "errmsg": "data format error"}
        return Behaviour(behaviour.kind, answer=answer)
