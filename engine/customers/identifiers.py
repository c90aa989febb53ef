"""Identifiers by kind: one shape each, so that two spellings of one identifier lead to one customer.

- `phone`: E.164, by `phonenumbers`. Without a country code the installation's region counts, and then it must
  be a number that can exist there. A number with an extension is a switchboard: nobody's.
- `email`: lower case, normal form C, the domain in its ASCII form (IDNA 2008, UTS 46).
- `member_number`: without spaces, upper case, full-width characters as narrow ones.
- `wechat`, `alipay_open_id`: the open id as it is, with its app `APPID/OPENID`, also as `{app_id, open_id}`.
- `wechat_unionid`, `wecom`, `alipay`, `push`: as they are, one word of letters and digits.
- `taobao_nick`: normal form KC, lower case, without `cntaobao` before it.
- `jd_pin`: normal form KC, percent-encoding undone.
- `device_id`: lower case; all zeros (tracking declined) are nobody's.
- `external_id`, `anonymous_id` and kinds of your own: as they come.

Pure: no clock and no database. An identifier that cannot be brought into its shape is never one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

import idna
import phonenumbers

LONGEST: Final = 256
LONGEST_PUSH: Final = 1024
_PLACEHOLDERS: Final = frozenset(
    {
        "null",
        "undefined",
        "none",
        "nan",
        "n/a",
        "na",
        "unknown",
        "nil",
        "-",
        "anonymous",
        "(null)",
        "[object object]",
    }
)
"""What programs send for "there is none": one customer for all who have none would be a costly mistake."""
_TOKEN: Final = re.compile(r"[!-~]+")
_MOBILE_CN: Final = re.compile(r"(?:\+86[ -]?)?(1[3-9][0-9])[ -]?([0-9]{4})[ -]?([0-9]{4})")
_LOCAL: Final = re.compile(r"[^\s\"(),:;<>@\[\\\]]+")


class Unusable(ValueError):
    """Why a value is no identifier of its kind. The text does not repeat the value."""


def normalise(kind: str, value: Any, region: str | None = None) -> str:
    """The value in the shape of its kind.

    Args:
        region: of phone numbers without a country code, such as `CN`; without one they are refused.

    Raises:
        Unusable: it has none; the text says what was expected.
    """
    if not isinstance(value, str):
        if isinstance(value, Mapping):
            value = _of_app(kind, value)
        elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 1024:
            value = str(value)
        else:
            raise Unusable("expected text")
    longest = LONGEST_PUSH if kind == "push" else LONGEST
    if len(value) > longest:
        raise Unusable(f"{len(value)} characters, at most {longest} are allowed")
    text: str = value.strip().strip("\u200b\ufeff").strip()
    if not text:
        raise Unusable("expected text, got nothing")
    if not text.isprintable() and any(unicodedata.category(each) in ("Cc", "Cs") for each in text):
        raise Unusable("holds a control character")
    rule = _RULES.get(kind)
    if rule is None:
        return text
    if text.lower() in _PLACEHOLDERS:
        raise Unusable("a placeholder for a missing value")
    found = rule(text, region)
    if not found or len(found) > longest:
        raise Unusable("nothing is left of it" if not found else f"at most {longest} characters are allowed")
    return found


def phone(text: str, region: str | None = None) -> str:
    """A phone number as E.164."""
    if (found := _MOBILE_CN.fullmatch(text)) is not None:
        # Most of what comes in, and what `phonenumbers` comes to for it, in a thirtieth of the time.
        own = found[1] + found[2] + found[3]
        if text[0] == "+" or (region == "CN" and _mobile_cn().fullmatch(own)):
            return f"+86{own}"
    text = unicodedata.normalize("NFKC", text)
    digits = re.sub(r"^(?:tel:)?\s*00", "+", text) if region is None else text
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException as error:
        if region is None and not digits.lstrip().startswith(("+", "tel:+")):
            raise Unusable(
                "expected a number with its country code, such as +8613800138000; `phone_region` in "
                "kairos.yaml says where numbers without one are from"
            ) from None
        raise Unusable(f"no phone number: {_IN_WORDS.get(error.error_type, 'it cannot be read')}") from None
    if number.extension:
        raise Unusable("a number with an extension: a switchboard belongs to nobody in particular")
    # Abroad the length is all that is asked, since plans of numbers change faster than their lists. A number
    # without a country code is only guessed to be one: it must be in the list.
    international = text.lstrip().removeprefix("tel:").lstrip().startswith(("+", "00"))
    fits = phonenumbers.is_possible_number(number)
    if not (fits if international else fits and phonenumbers.is_valid_number(number)):
        raise Unusable(
            f"no phone number of {phonenumbers.region_code_for_country_code(number.country_code or 0)}"
        )
    if len(set(str(number.national_number))) == 1:
        raise Unusable("a placeholder: one digit, repeated")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(maxsize=1)
def _mobile_cn() -> re.Pattern[str]:
    about = phonenumbers.PhoneMetadata.metadata_for_region("CN")
    known = about.mobile.national_number_pattern if about is not None and about.mobile is not None else None
    return re.compile(known or "(?!)")


def email(text: str, region: str | None = None) -> str:
    """An e-mail address in lower case, its domain in ASCII."""
    text = unicodedata.normalize("NFC", text.removeprefix("mailto:"))
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise Unusable("expected an address such as ida@example.com")
    # Case in the local part tells two people apart by the standard (RFC 5321, 2.4) and nowhere in practice.
    local = unicodedata.normalize("NFC", local.lower())
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise Unusable("no e-mail address: the part before the @ holds what it cannot")
    if not local.isascii() and any(unicodedata.category(each) in ("Cf", "Co", "Cn") for each in local):
        raise Unusable("no e-mail address: the part before the @ holds characters that cannot be seen")
    ascii_domain = _domain(domain)
    if len(local.encode()) > 64 or len(local.encode()) + 1 + len(ascii_domain) > 254:
        raise Unusable("no e-mail address: it is too long (RFC 5321, 4.5.3.1)")
    return f"{local}@{ascii_domain}"


@lru_cache(maxsize=4096)
def _domain(domain: str) -> str:
    try:
        found = idna.encode(domain.rstrip("."), uts46=True, transitional=False).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise Unusable("no e-mail address: the part after the @ is no domain") from None
    if "." not in found:
        raise Unusable("no e-mail address: the part after the @ is no domain of the internet")
    return found


def _member_number(text: str, region: str | None) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split()).upper()


def _token(text: str, region: str | None) -> str:
    if not _TOKEN.fullmatch(text):
        raise Unusable("expected one word of letters and digits")
    return text


def _app_token(text: str, region: str | None) -> str:
    app, slash, own = text.rpartition("/")
    if slash and (not app or not own or "/" in app):
        raise Unusable("expected OPENID or APPID/OPENID")
    return _token(text, region)


def _taobao_nick(text: str, region: str | None) -> str:
    return unicodedata.normalize("NFKC", text).lower().removeprefix("cntaobao").strip()


def _jd_pin(text: str, region: str | None) -> str:
    return unicodedata.normalize("NFKC", unquote(text)).strip()


def _device_id(text: str, region: str | None) -> str:
    found = _token(text, region).lower()
    if not found.strip("0-:{}"):
        raise Unusable("all zeros: the device does not say who it is")
    return found.strip("{}")


def _of_app(kind: str, value: Mapping[str, Any]) -> str:
    """`{app_id, open_id}` as text; some clients write `appId` and `openId`."""
    own = value.get("open_id", value.get("openId"))
    app = value.get("app_id", value.get("appId"))
    if kind not in ("wechat", "alipay_open_id") or not isinstance(own, str) or not own:
        raise Unusable("expected text")
    if app is None:
        return own
    if not isinstance(app, str) or not app or "/" in app or "/" in own:
        raise Unusable("expected {app_id, open_id}")
    return f"{app}/{own}"


_IN_WORDS: Final = {
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "unknown country code",
    phonenumbers.NumberParseException.NOT_A_NUMBER: "it is no number",
    phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "it is too short",
    phonenumbers.NumberParseException.TOO_SHORT_NSN: "it is too short",
    phonenumbers.NumberParseException.TOO_LONG: "it is too long",
}
_RULES: Final[Mapping[str, Callable[[str, str | None], str]]] = {
    # Each is read twice a message, and customers come back.
    "phone": lru_cache(maxsize=16_384)(phone),
    "email": lru_cache(maxsize=16_384)(email),
    "member_number": _member_number,
    "wechat": _app_token,
    "wechat_unionid": _token,
    "wecom": _token,
    "alipay": _token,
    "alipay_open_id": _app_token,
    "taobao_nick": _taobao_nick,
    "jd_pin": _jd_pin,
    "device_id": _device_id,
    "push": _token,
}
