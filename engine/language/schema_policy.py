"""Policies, and the hours of channels, defined once; a part of `kairos.yaml`."""

from __future__ import annotations

from engine.language.policies import ON_CAPPED, PER, PERIODS
from engine.language.schema import CATEGORIES, DAYS_FIELD, ZONE_FIELD
from engine.language.shapes import Field, Listing, Number, Object, Text

CAP = Object(
    "a frequency cap",
    {
        "per": Field(
            Text(choices=PER),
            "each customer's messages together, those of each journey, or those by each channel",
            default="person",
        ),
        "category": Field(Text(choices=CATEGORIES), "which messages it is about", default="marketing"),
        "channel": Field(Text("label"), "only messages by this channel"),
        "most": Field(Number(0, None, whole=True), "how many", needed=True),
        "within": Field(Text("positive_length"), "in any stretch of this length"),
        "calendar": Field(Text(choices=PERIODS), "in each hour, day or week where the customer is"),
    },
    one_of=("within", "calendar"),
)

QUIET_HOURS = Object(
    "when no marketing is sent",
    {
        "from": Field(Text("window_time"), "beginning", needed=True),
        "to": Field(Text("window_time"), "end; may be on the next day", needed=True),
        "then": Field(Text(choices=("defer", "skip")), "what happens instead", default="defer"),
        "spread": Field(Text("length"), "what was put off goes out over so long afterwards", default="30m"),
        "days": DAYS_FIELD,
        "zone": ZONE_FIELD,
    },
)

POLICY = Object(
    "limits on messages",
    {
        "caps": Field(Listing(CAP), "frequency caps; a message must keep all of them"),
        "on_capped": Field(
            Text(choices=ON_CAPPED), "what happens to a message that a cap stops", default="skip"
        ),
        "max_defer": Field(
            Text("positive_length"), "how long caps may put off a message; then it is skipped", default="1d"
        ),
        "quiet_hours": Field(QUIET_HOURS, "quiet hours"),
    },
)

HOURS = Object(
    "when marketing may leave by this channel",
    {
        "from": Field(Text("window_time"), "opening", needed=True),
        "to": Field(Text("window_time"), "closing", needed=True),
        "days": DAYS_FIELD,
        "zone": ZONE_FIELD,
    },
)
