"""`scores` and `rfm` of the catalogue, defined once."""

from __future__ import annotations

from engine.language.schema import EXPRESSION
from engine.language.shapes import Field, Listing, Number, Object, Table, Text

SCORES = Table(
    Object(
        "a score",
        {
            "half_life": Field(Text("positive_length"), "after so long half of it is left", needed=True),
            "weights": Field(
                Table(Number(), "event", least=1), "what each event is worth, by its name", needed=True
            ),
            "about": Field(Text(), "for people"),
        },
    ),
    "word",
)

RFM = Object(
    "how recently, how often and for how much customers bought",
    {
        "event": Field(Text("event"), "the event that counts", needed=True),
        "money": Field(Text("property"), "its property that is added up", needed=True),
        "within": Field(Text("positive_length"), "only events of the last while", default="all of them"),
        "quantiles": Field(Number(2, 10, whole=True), "how many scores there are", default="5"),
        "segments": Field(
            Listing(
                Object(
                    "a segment of the grid",
                    {
                        "name": Field(Text("label"), "its name: the value of `rfm_segment`", needed=True),
                        "title": Field(Text(), "for people"),
                        "where": Field(
                            EXPRESSION, "who is in it, by the three scores; the first that holds", needed=True
                        ),
                    },
                ),
                least=1,
            ),
            "parts of the grid; the first that holds",
            default="five of frequency and money",
        ),
    },
)
