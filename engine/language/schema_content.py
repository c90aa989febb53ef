"""The files that lie beside templates, defined once."""

from __future__ import annotations

from engine.language.schema import EXPRESSION
from engine.language.shapes import Field, Listing, Object, Text

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
