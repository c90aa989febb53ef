"""A fake service behind Apprise: what its `json://` speaks, `POST /ADDRESS {"title": …, "message": …}`."""

from __future__ import annotations

from urllib.parse import unquote

from channels.testing.api import FakeApi, Request, Taken, Trouble, said
from channels.testing.sink import Behaviour


class FakeAppriseService(FakeApi):
    """`messages` are what people got; the service knows its user and a password."""

    def __init__(self, authorization: str | None = None) -> None:
        """`authorization` is the header that it wants."""
        super().__init__()
        self.authorization = authorization

    @property
    def apprise_url(self) -> str:
        """Where Apprise finds it, without user and path."""
        return f"json://127.0.0.1:{self.port}"

    def upset(self, kind: Trouble, request: Request) -> Behaviour:
        match kind:
            case "throttle":
                return said(429, {"error": "slow down"}, retry_after="2")
            case "fail":
                return said(503, {"error": request.body.decode()})
            case _:
                return said(422, {"error": request.body.decode()})

    def serve(self, request: Request) -> Behaviour:
        if self.authorization is not None and request.headers.get("authorization") != self.authorization:
            return said(401, {"error": "who are you"})
        document = request.document
        if not isinstance(document, dict) or not document.get("message"):
            return said(422, {"error": "no message"})
        address = unquote(request.path.removeprefix("/"))
        text = f"{document.get('title', '')}\n{document['message']}"
        self.messages.append(Taken("", address, text, extra=document))
        return said(200, {"ok": True})
