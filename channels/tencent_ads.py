"""`tencent_ads`: audiences from a file of numbers (人群包) of Tencent Ads, by the Marketing API v3.0.

`POST /v3.0/custom_audience_files/add` takes a zipped text file, one hashed mobile number a line, and adds
it to the audience (`APPEND`) or takes it away (`REDUCE`). The numbers are those of mainland China, 11 digits
without the country code (https://developers.e.qq.com/v3.0/docs/api/custom_audience_files/add). The audience
itself is made in Tencent Ads, of type customer file (CUSTOMER_FILE).
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import time
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import phonenumbers
from pydantic import Field, SecretStr
from yarl import URL

from channels.audiences import AudienceAdapter, Member, sha256
from channels.codes import DOWN, Meaning, later, refused
from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.http import HttpClient, Url, failure
from channels.pacing import Outcome
from channels.port import Settings
from channels.receipt import Accepted, Reason


def _md5(digits: str) -> str:
    return hashlib.md5(digits.encode(), usedforsecurity=False).hexdigest()


_HASHES = {"SHA256_MOBILE_PHONE": sha256, "HASH_MOBILE_PHONE": _md5}
_MOBILE = re.compile("1[0-9]{10}")
_BOUNDARY = "kairos-audience-file"


class TencentAdsSettings(Settings):
    account_id: int = Field(gt=0, description="The advertiser's account")
    audience_id: int = Field(gt=0, description="The audience's number")
    access_token: SecretStr = Field(description="Access token with the right `audience_management`")
    user_id_type: Literal["SHA256_MOBILE_PHONE", "HASH_MOBILE_PHONE"] = Field(
        default="SHA256_MOBILE_PHONE",
        description="What the file holds; `HASH_MOBILE_PHONE` is MD5, for audiences begun with it",
    )
    endpoint: Url = Field(default="https://api.e.qq.com", description="Address of the interface")
    timeout: float = Field(default=30.0, gt=0, le=60, description="Seconds for one call")


class TencentAdsAdapter(AudienceAdapter):
    """Keeps one audience of type customer file."""

    name = "tencent_ads"
    kinds = ("phone",)
    batch = 100_000
    Settings = TencentAdsSettings
    settings: TencentAdsSettings

    def __init__(self, audience: str, settings: Any) -> None:
        super().__init__(audience, settings)
        self._http = HttpClient(timeout=self.settings.timeout, connections=2)

    def digests(self, identifiers: Mapping[str, str]) -> dict[str, str]:
        digits = _mobile(identifiers.get("phone", ""))
        return {} if digits is None else {"phone": _HASHES[self.settings.user_id_type](digits)}

    async def change(
        self, additions: Sequence[Member], removals: Sequence[Member], number: int
    ) -> Sequence[Outcome]:
        # Off before on: what two people share is on in the end.
        off = await self._call("REDUCE", removals, number)
        on = await self._call("APPEND", additions, number)
        return [on] * len(additions) + [off] * len(removals)

    async def _call(self, operation: str, members: Sequence[Member], number: int) -> Outcome:
        lines = sorted({line for member in members for line in member.digests.get("phone", ())})
        if not lines:
            return Accepted()
        query = urlencode(
            {
                "access_token": self.settings.access_token.get_secret_value(),
                "timestamp": int(time.time()),
                "nonce": secrets.token_hex(16),
            }
        )
        fields = {
            "account_id": str(self.settings.account_id),
            "audience_id": str(self.settings.audience_id),
            "user_id_type": self.settings.user_id_type,
            "operation_type": operation,
        }
        try:
            answer = await self._http.exchange(
                "POST",
                URL(f"{self.settings.endpoint}/v3.0/custom_audience_files/add?{query}", encoded=True),
                headers={"content-type": f"multipart/form-data; boundary={_BOUNDARY}"},
                content=_form(fields, f"{operation.lower()}-{number}", "\n".join(lines)),
            )
        except (Rejected, Throttled, Unavailable, Unknown) as trouble:
            return trouble.with_traceback(None)
        document = answer.json()
        code = document.get("code") if isinstance(document, dict) else None
        if code == 0:
            return Accepted(_file_id(document), answer.raw)
        if isinstance(code, int) and not isinstance(code, bool):
            return _meaning(code).outcome(f"HTTP {answer.status} {code}", answer.raw)
        return failure(answer) or Unknown(f"HTTP {answer.status} without a code", raw=answer.raw)

    async def close(self) -> None:
        await self._http.close()


def _mobile(number: str) -> str | None:
    """The 11 digits of a mobile number of mainland China, which is what one without a country code is."""
    try:
        parsed = phonenumbers.parse(number, "CN")
    except phonenumbers.NumberParseException:
        return None
    digits = str(parsed.national_number)
    return digits if parsed.country_code == 86 and _MOBILE.fullmatch(digits) else None


def _meaning(code: int) -> Meaning:
    """Codes by their families: 11… is about who may, 10… and 5… about the platform, 18… about the request."""
    if 11000 <= code < 12000:
        return later(60) if code == 11017 else refused(Reason.CREDENTIALS)
    if 10000 <= code < 11000 or 50000 <= code < 60000:
        return DOWN
    return refused(Reason.CONTENT)


def _file_id(document: Mapping[str, Any]) -> str | None:
    data = document.get("data")
    found = data.get("custom_audience_file_id") if isinstance(data, dict) else None
    return None if found is None else str(found)


def _form(fields: Mapping[str, str], name: str, text: str) -> bytes:
    """A multipart form with a zipped text file in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.txt", text)
    parts = [
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    parts.append(
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="{name}.zip"\r\n'
        "content-type: application/zip\r\n\r\n".encode()
    )
    return b"".join([*parts, packed.getvalue(), f"\r\n--{_BOUNDARY}--\r\n".encode()])
