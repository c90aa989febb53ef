"""What fakes of HTTP APIs share: requests taken apart, trouble on demand, and what was taken in the end.

A fake answers as its provider's documentation says, and refuses what the provider would refuse. It verifies
signatures by code of its own: an adapter that signs wrongly must not agree with itself.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from channels.testing.sink import Behaviour, Call, FakeHttpSink

Trouble = Literal["throttle", "hang", "drop", "fail", "reject"]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query_text(self) -> str:
        return urlsplit(self.target).query

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_text, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @cached_property
    def document(self) -> Any:
        """The body as JSON, None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the fake took, as a person would get it. `key` as far as the provider is told of it."""

    key: str
    address: str
    text: str
    id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def said(status: int, document: Any, retry_after: str | None = None) -> Behaviour:
    return Behaviour("ok", status=status, answer=document, retry_after=retry_after)


class FakeApi(FakeHttpSink, ABC):
    """Derive, and write `serve` and `upset`."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Taken] = []
        self._troubles: deque[Trouble] = deque()

    def trouble(self, kind: Trouble) -> None:
        """Let the next message meet this."""
        self._troubles.append(kind)

    @abstractmethod
    def serve(self, request: Request) -> Behaviour:
        """Answer as on a good day, and keep what was taken in `messages`."""

    @abstractmethod
    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        """How this provider says `throttle`, `fail` or `reject`. May quote what it was sent."""

    def sends(self, request: Request) -> bool:
        """Whether this request hands over messages; only those meet trouble."""
        return True

    def take(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Behaviour:
        request = Request(method, path, headers, body)
        trouble = self._troubles.popleft() if self._troubles and self.sends(request) else None
        before = len(self.messages)
        if trouble in ("throttle", "fail", "reject"):
            behaviour = self.upset(trouble, request)
        else:
            behaviour = self.serve(request)
            if trouble is not None and len(self.messages) > before:
                behaviour = Behaviour(trouble)
        self.calls.append(Call("", method, path, headers, body, len(self.messages) > before))
        return behaviour
