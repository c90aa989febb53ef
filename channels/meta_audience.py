"""`meta_audience`: custom audiences of Meta (Facebook, Instagram), by the Marketing API.

`POST /{audience_id}/users` puts people on, `DELETE` takes them off, at most 10,000 a call, each a row of
hashes in the order of `schema`, empty where nothing is known
(https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences). The audience itself
is made in Meta's Ads Manager, with its terms agreed to.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pydantic import Field, SecretStr

from channels.audiences import AudienceAdapter, Member, normal_email, phone_digits, sha256
from channels.codes import DOWN, later, refused, told
from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.http import HttpClient, Url
from channels.pacing import Outcome
from channels.port import Settings
from channels.receipt import Accepted, Reason

SCHEMA = {"email": "EMAIL", "phone": "PHONE", "external_id": "EXTERN_ID"}

MOST = 10_000
"""Rows that one call may carry."""

CODES = {
    "190": refused(Reason.CREDENTIALS),  # the access token has ended or was taken back
    "102": refused(Reason.CREDENTIALS),
    "10": refused(Reason.CREDENTIALS),  # no permission
    "200": refused(Reason.CREDENTIALS),
    "294": refused(Reason.CREDENTIALS),
    "1870034": refused(Reason.CREDENTIALS),  # the terms of custom audiences are not agreed to
    "100": refused(Reason.CONTENT),
    "1": DOWN,
    "2": DOWN,
    "4": later(60),  # limits: of the app, the account, custom audiences
    "17": later(60),
    "32": later(60),
    "613": later(60),
    "80003": later(300),
}


class MetaAudienceSettings(Settings):
    audience_id: str = Field(pattern="[0-9]+", description="The custom audience's number in Ads Manager")
    access_token: SecretStr = Field(description="Token of a system user with `ads_management`")
    app_secret: SecretStr | None = Field(
        default=None, description="The app's secret, where the app asks for a proof with each call"
    )
    endpoint: Url = Field(default="https://graph.facebook.com", description="Address of the interface")
    version: str = Field(default="v25.0", pattern=r"v[0-9]+\.[0-9]+", description="Version of the interface")
    timeout: float = Field(default=30.0, gt=0, le=60, description="Seconds for one call")


class MetaAudienceAdapter(AudienceAdapter):
    """Keeps one custom audience."""

    name = "meta_audience"
    kinds = tuple(SCHEMA)
    batch = MOST
    Settings = MetaAudienceSettings
    settings: MetaAudienceSettings

    def __init__(self, audience: str, settings: Any) -> None:
        super().__init__(audience, settings)
        self._http = HttpClient(timeout=self.settings.timeout, connections=4)

    def digests(self, identifiers: Mapping[str, str]) -> dict[str, str]:
        found = {}
        if "@" in (email := normal_email(identifiers.get("email", ""))):
            found["email"] = sha256(email)
        if phone := phone_digits(identifiers.get("phone", "")):
            found["phone"] = sha256(phone)
        if own := identifiers.get("external_id", "").strip():
            found["external_id"] = sha256(own)
        return found

    async def change(
        self, additions: Sequence[Member], removals: Sequence[Member], number: int
    ) -> Sequence[Outcome]:
        # Off before on: what two people share is on in the end.
        off = [await self._call("DELETE", rows, 2 * number) for rows in _batches(removals)]
        on = [await self._call("POST", rows, 2 * number + 1) for rows in _batches(additions)]
        return [*_of_each(additions, on), *_of_each(removals, off)]

    async def _call(self, method: str, rows: Sequence[Sequence[str]], session: int) -> Outcome:
        document = {
            "payload": {"schema": list(SCHEMA.values()), "data": rows},
            "session": {
                "session_id": session,
                "batch_seq": 1,
                "last_batch_flag": True,
                "estimated_num_total": len(rows),
            },
        }
        token = self.settings.access_token.get_secret_value()
        if self.settings.app_secret is not None:
            secret = self.settings.app_secret.get_secret_value().encode()
            document["appsecret_proof"] = hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()
        try:
            answer = await self._http.exchange(
                method,
                f"{self.settings.endpoint}/{self.settings.version}/{self.settings.audience_id}/users",
                headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
                content=json.dumps(document).encode(),
            )
        except (Rejected, Throttled, Unavailable, Unknown) as trouble:
            return trouble.with_traceback(None)
        found = answer.json()
        found = found if isinstance(found, dict) else {}
        error = found.get("error")
        if not isinstance(error, dict):
            error = {}
        refusal = told(CODES, answer, error.get("code"))
        if refusal is not None:
            return refusal
        if not isinstance(found.get("num_received"), int):
            return Unknown(f"HTTP {answer.status} without a number", raw=answer.raw)
        return Accepted(None, answer.raw)

    async def close(self) -> None:
        await self._http.close()


def _batches(members: Sequence[Member]) -> list[list[list[str]]]:
    """The members' rows, so many that each call carries no more than it may."""
    rows = [row for member in members for row in _rows(member)]
    return [rows[place : place + MOST] for place in range(0, len(rows), MOST)]


def _of_each(members: Sequence[Member], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What came of each member: of one whose rows went in two calls what is worse."""
    found: list[Outcome] = []
    place = 0
    for member in members:
        after = place + len(_rows(member))
        own = outcomes[place // MOST : (after - 1) // MOST + 1]
        found.append(next((each for each in own if not isinstance(each, Accepted)), own[-1]))
        place = after
    return found


def _rows(member: Member) -> list[list[str]]:
    """The member's hashes as rows: one, or several where a kind has several."""
    columns = [member.digests.get(kind, ()) for kind in SCHEMA]
    return [list(row) for row in zip_longest(*columns, fillvalue="")]
