"""Who the visitors are. The recorded clicks name nobody, so everything here is made up from a hash of the
visitor's number: the same in every run, and clearly not real (example.com, numbers nobody can have)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")

FIRST_NAMES: Final = (
    "Mei", "Wei", "Lan", "Jun", "Fang", "Hao", "Ying", "Tao", "Xin", "Bo", "Anna", "Ben", "Clara", "David",
)  # fmt: skip
TIME_ZONES: Final = (
    "Asia/Shanghai", "Asia/Shanghai", "Asia/Shanghai", "Asia/Singapore", "Europe/Berlin", "America/New_York",
)  # fmt: skip


def share(what: str, of: str) -> float:
    """A number from 0 up to 1 that is always the same for the same words."""
    digest = hashlib.sha256(f"kairos-shop:{what}:{of}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def pick(what: str, of: str, choices: Sequence[T]) -> T:
    return choices[int(share(what, of) * len(choices))]


def traits(user: str) -> dict[str, Any]:
    """The visitor's profile as the shop would `identify` it.

    Three of four have a phone number, two of three an e-mail address, half follow the shop on WeChat, a third
    have the app. Most of those who gave an address agreed to be written to there.
    """
    number = int(user.rpartition("_")[2])
    addresses = {
        "phone": (0.75, f"+8613800{number:06d}"),
        "email": (0.66, f"visitor{number:04d}@example.com"),
        "wechat": (0.5, f"wx-visitor-{number:04d}"),
        "push": (0.33, f"device-{number:04d}"),
    }
    found = {kind: value for kind, (part, value) in addresses.items() if share(kind, user) < part}
    channels = {"phone": "sms", "email": "email", "wechat": "wechat", "push": "push"}
    consents = {channels[kind]: share(f"consent {kind}", user) < 0.85 for kind in found}
    known: dict[str, Any] = {**found, "consents": consents}
    if share("first name", user) < 0.9:
        known["first_name"] = pick("name", user, FIRST_NAMES)
    if share("zone", user) < 0.8:
        known["time_zone"] = pick("which zone", user, TIME_ZONES)
    return known
