"""Who leaves a cart, how they can be reached, and what they do about a message.

Made up, and the same in every run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from examples.running.people import FIRST_NAMES, pick

Deed = Literal["ignores", "clicks", "buys", "pays at once", "stops", "is scanned", "has a dead number"]

APP_ID: Final = "wx0000000000000001"
TEAS: Final = ("龙井", "碧螺春", "大红袍", "白毫银针", "普洱")
# By channel, what its people do, in turn. Approved texts of SMS hold no links, so nobody clicks there.
DEEDS: Final[dict[str, tuple[Deed, ...]]] = {
    "wechat": ("clicks", "ignores", "buys", "pays at once", "clicks", "buys"),
    "sms": ("ignores", "stops", "has a dead number", "buys", "ignores", "pays at once"),
    "email": ("clicks", "is scanned", "stops", "buys", "ignores", "clicks"),
}


@dataclass(frozen=True, slots=True)
class Person:
    """`address` as the provider knows it."""

    user_id: str
    channel: str
    address: str
    deed: Deed
    cart: dict[str, Any] = field(repr=False)

    @property
    def traits(self) -> dict[str, Any]:
        """What the shop tells of them. Everybody of WeChat has a phone too, but never agreed to SMS."""
        known: dict[str, Any] = {"first_name": pick("name", self.user_id, FIRST_NAMES)}
        consents = {self.channel: True}
        match self.channel:
            case "wechat":
                known |= {"wechat": f"{APP_ID}/{self.address}"}
            case "sms":
                known |= {"phone": self.address}
            case _:
                known |= {"email": self.address}
        return {**known, "consents": consents}


def people(each_channel: int) -> list[Person]:
    """So many people for each channel."""
    found = []
    for channel, deeds in DEEDS.items():
        for number in range(each_channel):
            user_id = f"{channel}-{number + 1:02}"
            tea = pick("tea", user_id, TEAS)
            address = {
                "wechat": f"o{number + 1:027}",
                "sms": f"+86138{number + 1:08}",
                "email": f"{user_id}@example.com",
            }[channel]
            cart = {
                "cart_id": f"cart-{user_id}",
                "total": 60 + 7 * number,
                "item": tea,
                "url": f"https://tea.example/cart/{user_id}",
            }
            found.append(Person(user_id, channel, address, deeds[number % len(deeds)], cart))
    return found
