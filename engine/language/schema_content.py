"""The files that lie beside templates, defined once."""

from __future__ import annotations

from engine.language.schema import EXPRESSION
from engine.language.shapes import Boolean, Field, Listing, Number, Object, Text

LONGEST = Field(Number(1, 100_000, whole=True), "characters of a text, or items of a list, at most")
"""Of a property or an attribute."""

ATTACHMENTS = Object(
    "what an e-mail carries beside its text",
    {
        "attachments": Field(
            Listing(
                Object(
                    "a file",
                    {
                        "file": Field(Text("text"), "its path below `templates/_files/`", needed=True),
                        "name": Field(Text("label"), "what the customer sees", default="its own name"),
                        "inline": Field(
                            Boolean(), "a picture that the HTML shows as `cid:FILE`", default="false"
                        ),
                    },
                ),
                least=1,
            ),
            "files below `templates/_files/`",
            needed=True,
        ),
    },
)

CONTENT = Object(
    "what `kairos check` asks of messages",
    {
        "sms": Field(
            Object(
                "text messages",
                {
                    "most_segments": Field(
                        Number(1, 50, whole=True), "segments that a text may take", default="3"
                    ),
                    "price": Field(Number(0, None), "of one segment", default="not told"),
                    "currency": Field(Text("label"), "of the price, for people"),
                },
            ),
            "text messages",
        ),
        "html_kilobytes": Field(
            Number(1, 1_000, whole=True), "the HTML of an e-mail may have so many", default="102"
        ),
    },
)

VARIANTS = Object(
    "the variants of a message",
    {
        "variants": Field(
            Listing(
                Object(
                    "a variant",
                    {
                        "name": Field(Text("id"), "its folder below the message's", needed=True),
                        "where": Field(EXPRESSION, "whom it is for", needed=True),
                    },
                ),
                least=1,
            ),
            "its variants, the first that holds counts",
            needed=True,
        ),
    },
)
