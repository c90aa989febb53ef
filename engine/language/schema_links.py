"""`links` of `kairos.yaml`, defined once."""

from __future__ import annotations

from engine.language.shapes import Boolean, Field, Listing, Object, Text

UTM = ("source", "medium", "campaign", "term", "content")

LINKS = Object(
    "links in messages",
    {
        "base_url": Field(
            Text("url"), "where links lead through: your own domain. Without it links stay as they are"
        ),
        "channels": Field(
            Listing(Text("label")), "channels whose links are replaced", default="every channel"
        ),
        "utm": Field(
            Object(
                "parameters that links get; `{journey}`, `{step}`, `{template}`, `{channel}` and `{link}` are"
                " filled in",
                {name: Field(Text(), f"`utm_{name}`") for name in UTM},
            ),
            "parameters that links get, where they have none of that name",
        ),
        "expire": Field(Text("positive_length"), "how long links lead anywhere", default="180d"),
        "track_visits": Field(
            Boolean(),
            "adds `krs` to where links lead, so that a `page` call of the landing page tells who came",
            default="false",
        ),
        "track_opens": Field(
            Boolean(), "puts a picture into e-mail that tells when it is opened", default="false"
        ),
    },
)
