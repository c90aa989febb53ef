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
        "best_time": Field(
            Object(
                "from when to when `send_at: best_time` may choose, where the customer is",
                {
                    "from": Field(Text("time"), "the first hour", default="09:00"),
                    "to": Field(Text("window_time"), "the end of the last hour", default="21:00"),
                },
            ),
            "when `send_at: best_time` may be; whole hours",
        ),
    },
)

BUDGET = Object(
    "how much this channel may use in all",
    {
        "segments": Field(Number(0, None, whole=True), "so many segments of text messages"),
        "messages": Field(Number(0, None, whole=True), "so many messages"),
        "within": Field(
            Text(choices=PERIODS), "in each hour, day or week of the installation's zone", default="day"
        ),
        "then": Field(Text(choices=ON_CAPPED), "what happens to marketing beyond it", default="skip"),
    },
    one_of=("segments", "messages"),
)

QUOTA = Object(
    "how many messages of one kind the provider lets one person get",
    {
        "opened_by": Field(
            Listing(
                Object(
                    "an event that opens it",
                    {
                        "event": Field(Text("event"), "the event", needed=True),
                        "most": Field(
                            Number(1, None, whole=True), "so many messages may follow", needed=True
                        ),
                        "for": Field(Text("positive_length"), "within so long", default="no limit"),
                    },
                )
            ),
            "what opens it, instead of what its adapter says",
        ),
        "monthly": Field(Number(0, None, whole=True), "so many in a calendar month"),
    },
    one_of=("opened_by", "monthly"),
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
