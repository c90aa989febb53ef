"""The other files of a project, defined once: catalogue, installation, scenarios."""

from __future__ import annotations

from engine.language.addresses import MERGE_BY, SEVERAL
from engine.language.schema import EXPRESSION, TYPE_NAME
from engine.language.schema_content import CONTENT, LONGEST
from engine.language.schema_knowledge import RFM, SCORES
from engine.language.schema_links import LINKS
from engine.language.schema_policy import BUDGET, HOURS, POLICY, QUOTA
from engine.language.shapes import (
    Anything,
    Boolean,
    Either,
    Field,
    Listing,
    Null,
    Number,
    Object,
    Table,
    Text,
)

_TYPE = Either(
    (
        TYPE_NAME,
        Object(
            "a property",
            {
                "type": Field(TYPE_NAME, "its type", needed=True),
                "personal": Field(Boolean(), "kept out of histories and logs", default="false"),
                "one_of": Field(Listing(Anything(), least=1), "the values it can have"),
                "longest": LONGEST,
                "about": Field(Text(), "for people"),
            },
        ),
    ),
    "a type, or a mapping with `type`",
)
_ATTRIBUTE = Either(
    (
        TYPE_NAME,
        Object(
            "an attribute",
            {
                "type": Field(TYPE_NAME, "its type", needed=True),
                "personal": Field(Boolean(), "kept out of histories and logs", default="false"),
                "one_of": Field(Listing(Anything(), least=1), "the values it can have"),
                "longest": LONGEST,
                "computed": Field(EXPRESSION, "worked out from events and other attributes, never set"),
                "about": Field(Text(), "for people"),
            },
        ),
    ),
    "a type, or a mapping with `type`",
)

_TAG = Either(
    (
        Text("label"),
        Object(
            "a tag",
            {
                "name": Field(Text("label"), "the tag", needed=True),
                "expires": Field(Text("positive_length"), "goes so long after it was last given"),
                "where": Field(EXPRESSION, "who has it: kept by this rule, never set by hand"),
            },
        ),
    ),
    "a tag, or a mapping with `name`",
)

CATALOGUE = Object(
    "the words that journeys may use",
    {
        "events": Field(
            Table(
                Either(
                    (
                        Object(
                            "an event",
                            {
                                "about": Field(Text(), "for people"),
                                "also_called": Field(Listing(Text("text")), "names that clients send"),
                                "properties": Field(
                                    Either((Table(_TYPE), Null()), "a mapping"), "its properties"
                                ),
                            },
                        ),
                        Null(),
                    ),
                    "a mapping with `about`, `also_called`, `properties`",
                ),
                "event",
            ),
            "events by name",
        ),
        "profile": Field(Table(_ATTRIBUTE, "word"), "the profile's attributes"),
        "tags": Field(Listing(_TAG), "tags"),
        "segments": Field(
            Table(
                Either(
                    (
                        EXPRESSION,
                        Object(
                            "a segment",
                            {
                                "where": Field(EXPRESSION, "who is in it"),
                                "list": Field(Boolean(only=True), "a static list"),
                                "history": Field(
                                    Boolean(), "keeps who entered and left it, and when", default="false"
                                ),
                            },
                        ),
                    ),
                    "an expression, `{list: true}` or a mapping with `where`",
                )
            ),
            "segments by name",
        ),
        "stages": Field(
            Listing(
                Object(
                    "a stage",
                    {
                        "name": Field(Text("label"), "the stage's name", needed=True),
                        "where": Field(EXPRESSION, "who is in it; the last that holds counts"),
                    },
                )
            ),
            "stages of the customer's life; the last that holds",
        ),
        "scores": Field(SCORES, "numbers that behaviour adds to and time wears down, by name"),
        "rfm": Field(RFM, "scores over all customers, and the segments that they make"),
    },
)

_CONSENT = Text(choices=("opt_in", "opt_out", "not_needed"))

TOLD = (
    "profile.changed",
    "profile.merged",
    "segment.entered",
    "segment.left",
    "stage.changed",
    "consent.changed",
)
"""Changes that webhooks can be told."""

WEBHOOK = Object(
    "a system that is told of changes",
    {
        "name": Field(Text("id"), "its name, which never changes", needed=True),
        "url": Field(Text("url"), "where it is told", needed=True),
        "secret": Field(Text(), "signs what it is told: `${NAME}`", needed=True),
        "events": Field(Listing(Text(choices=TOLD), least=1), "what it is told of", needed=True),
        "include": Field(
            Listing(Text("word")), "attributes whose values are told with `profile.changed`", default="none"
        ),
        "allow_private": Field(
            Boolean(), "whether it may be on a private network or this machine", default="false"
        ),
    },
)

AUDIENCE = Object(
    "an advertising audience",
    {
        "adapter": Field(Text("label"), "which adapter", needed=True),
        "settings": Field(Table(Anything(), "word"), "the adapter's own; secrets as `${NAME}`"),
    },
)

ROUTE = Object(
    "one of a channel's providers",
    {
        "name": Field(Text("id"), "its name, which never changes", default="the adapter's name"),
        "adapter": Field(Text("label"), "which adapter", needed=True),
        "settings": Field(Table(Anything(), "word"), "the adapter's own; secrets as `${NAME}`"),
        "where": Field(
            Object(
                "for which messages",
                {
                    "locale": Field(Listing(Text("label"), least=1), "languages: `zh` is also `zh-CN`"),
                    "region": Field(Listing(Text("region"), least=1), "countries of phone numbers"),
                },
                one_of=("locale", "region"),
            ),
            "for which messages it stands",
            default="all",
        ),
        "share": Field(Number(0, 100), "what part of them it gets, in per cent", default="by cost"),
        "cost": Field(Number(0, None), "what one message costs; the cheapest comes first", default="last"),
    },
)

INSTALLATION = Object(
    "the installation",
    {
        "version": Field(Number(1, 1, whole=True), "version of the language", default="1"),
        "brand": Field(Table(Either((Text(), Number()), "text"), "word"), "what templates see as `brand`"),
        "time_zone": Field(Text("zone"), "the installation's time zone", default="UTC"),
        "locale": Field(Text("label"), "the installation's language", default="en"),
        "channels": Field(
            Table(
                Object(
                    "a channel",
                    {
                        "adapter": Field(Text("label"), "which adapter", default="outbox"),
                        "on_unknown": Field(
                            Text(choices=("assume_sent", "retry")),
                            "what to think of a send whose fate is unknown",
                            default="assume_sent",
                        ),
                        "routes": Field(
                            Listing(ROUTE, least=1), "several providers, instead of `adapter` and `settings`"
                        ),
                        "rate": Field(Text("rate"), "no more than so many"),
                        "hours": Field(HOURS, "when marketing may leave by it", default="its adapter's"),
                        "budget": Field(BUDGET, "how much it may use in all", default="no limit"),
                        "quotas": Field(
                            Table(QUOTA), "limits of the provider by kind of message", default="its adapter's"
                        ),
                        "settings": Field(
                            Table(Anything(), "word"), "the adapter's own; secrets as `${NAME}`"
                        ),
                        "callback_secret": Field(
                            Text(), "what the provider's calls carry in their address: `${NAME}`"
                        ),
                    },
                )
            ),
            "channels by name",
        ),
        "audiences": Field(Table(AUDIENCE), "advertising audiences by name"),
        "consent": Field(
            Object(
                "what consent messages need",
                {
                    "marketing": Field(_CONSENT, "for marketing", default="opt_in"),
                    "transactional": Field(_CONSENT, "for transactional messages", default="not_needed"),
                    "purposes": Field(
                        Listing(Text("id")), "what a customer can agree to or withdraw by itself"
                    ),
                },
            ),
            "what consent messages need",
        ),
        "content": Field(CONTENT, "what `kairos check` asks of messages"),
        "policies": Field(Table(POLICY), "policies by name"),
        "priorities": Field(
            Listing(Text("id")),
            "journeys, the most important first: whose message goes when caps leave room for one",
        ),
        "identities": Field(
            Object(
                "how identifiers lead to profiles",
                {
                    "merge_by": Field(
                        Listing(Text("word")),
                        "kinds that merge profiles, the most telling first",
                        default=", ".join(f"`{kind}`" for kind in MERGE_BY),
                    ),
                    "attach": Field(
                        Listing(Text("word")), "kinds that are attached only", default="every other kind"
                    ),
                    "several": Field(
                        Listing(Text("word")),
                        "kinds of which one person may have more than one",
                        default=", ".join(f"`{kind}`" for kind in sorted(SEVERAL)),
                    ),
                    "phone_region": Field(
                        Text("region"), "region of phone numbers without a country code", default="none"
                    ),
                    "most": Field(
                        Number(1, 100_000, whole=True),
                        "so many identifiers of one kind may lead to one profile",
                        default="100",
                    ),
                    "sources": Field(
                        Listing(Text("label")),
                        "sources of attributes, whose word counts first at one and the same instant",
                    ),
                },
            ),
            "how identifiers lead to profiles",
        ),
        "webhooks": Field(Listing(WEBHOOK), "systems that are told of changes"),
        "links": Field(LINKS, "links in messages"),
    },
)

EXITS = (
    "completed",
    "goal",
    "exit_rule",
    "stopped",
    "superseded",
    "expired",
    "unsubscribed",
    "cancelled",
    "failed",
)
SKIP_REASONS = (
    "no_address",
    "no_consent",
    "blocked",
    "holdout",
    "late",
    "capped",
    "quiet_hours",
    "window",
    "quota",
    "budget",
    "paused",
    "render",
    "exit_seen",
)

PERSON = Table(Anything(), "word")
_EMPTY = Either((Object("nothing", {}), Null()), "`{}`")

SCRIPT_ENTRY = Object(
    "something that happens",
    {
        "after": Field(Text("length"), "since the entry before"),
        "at": Field(Text("length"), "since `start`"),
        "event": Field(Table(Anything(), "property", least=1), "an event: its `name`, its properties flat"),
        "identify": Field(PERSON, "what becomes known of the customer"),
        "consent": Field(Table(Boolean(), least=1), "channels, or `marketing`, and `true` or `false`"),
        "enter": Field(Either((Table(Anything(), "property"), Null()), "`{}` or properties"), "puts them in"),
        "pause": Field(_EMPTY, "pauses the journey"),
        "resume": Field(_EMPTY, "resumes the journey"),
    },
)

EXPECT = Object(
    "what must come of it; only what is given is compared",
    {
        "entered": Field(
            Either((Boolean(), Number(0, None, whole=True)), "`true`, `false` or a number"), "entries"
        ),
        "messages": Field(
            Listing(
                Object(
                    "a message",
                    {
                        "at": Field(Text("length"), "since the first entry, or `start` if there is none"),
                        "channel": Field(Text("label"), "by which channel"),
                        "template": Field(Text("label"), "its template"),
                        "step": Field(Text("id"), "the step that sent it"),
                    },
                )
            ),
            "exactly these messages, in order",
        ),
        "exit": Field(
            Either((Text(choices=EXITS), Listing(Text(choices=EXITS))), "an exit, or a list of exits"),
            "of the last enrolment; a list: of all, in order",
        ),
        "converted": Field(Boolean(), "whether the goal was reached in time"),
        "tags": Field(
            Object(
                "tags afterwards",
                {
                    "has": Field(Listing(Text("label")), "tags that are there"),
                    "lacks": Field(Listing(Text("label")), "tags that are not"),
                },
            ),
            "tags afterwards",
        ),
        "attributes": Field(Table(Anything(), "word"), "attributes afterwards; null is not set"),
        "steps": Field(Listing(Text("id")), "ids of the steps begun, in order"),
        "skipped": Field(
            Listing(
                Object(
                    "a message step that sent nothing",
                    {
                        "step": Field(Text("id"), "the step"),
                        "reason": Field(Text(choices=SKIP_REASONS), "why, for its first listed channel"),
                    },
                )
            ),
            "message steps that sent nothing",
        ),
    },
)

SCENARIO = Object(
    "a scenario",
    {
        "name": Field(Text(), "what it shows", needed=True),
        "profile": Field(PERSON, "the customer at `start`"),
        "start": Field(
            Text("start"), "when the script begins", default="2026-01-01T09:00 in the installation's zone"
        ),
        "script": Field(Listing(SCRIPT_ENTRY), "what happens"),
        "variant": Field(Table(Text("label"), "id"), "forces splits: step id to variant"),
        "holdout": Field(Boolean(), "whether the customer is held out", default="false"),
        "policy": Field(Text("label"), "a policy of `kairos.yaml` that applies", default="none"),
        "answers": Field(Table(Anything(), "id"), "stand-ins for webhooks and actions: step id to answer"),
        "fails": Field(Listing(Text("id")), "webhooks and actions that fail"),
        "expect": Field(EXPECT, "what must come of it; left out, it is only run"),
    },
)

SCENARIOS = Object(
    "scenarios of one journey",
    {
        "journey": Field(Text("id"), "the journey", needed=True),
        "scenarios": Field(Listing(SCENARIO), "the scenarios", needed=True),
    },
)
