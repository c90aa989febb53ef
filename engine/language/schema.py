"""The language, defined once.

The checker, `kairos schema` and the tables in `docs/reference/` are read from these shapes; those of the
other files of a project are in `schema_folder`. What is not implemented is not here, except by name in
`later`, so that it can be said.
"""

from __future__ import annotations

from engine.language.shapes import (
    DEFINITIONS,
    Boolean,
    Choice,
    Either,
    Field,
    Listing,
    Null,
    Number,
    Object,
    Ref,
    Shape,
    Table,
    Text,
)

TYPES = ("text", "number", "boolean", "date", "datetime", "list", "object")
CATEGORIES = ("marketing", "transactional")
CHANNELS = ("email", "sms", "push", "wechat", "wecom", "alipay", "miniprogram", "webhook")
"""Channels that can be used without an entry in `kairos.yaml`."""

EXPRESSION = Text("expression")
_VALUE = Either((EXPRESSION, Number(), Boolean(), Null()), "an expression, a number, `true` or `false`")
_STEPS = Ref("steps")
_ARM = Either((_STEPS, Null()), "a list of steps")
_LENGTH = Text("length")
_DAYS = Listing(Text(choices=("mon", "tue", "wed", "thu", "fri", "sat", "sun")), least=1)

_F_WHERE = Field(EXPRESSION, "a condition on the event")
ZONE_FIELD = Field(
    Text("step_zone"), "whose clock: `profile`, `installation` or a zone's name", default="profile"
)
DAYS_FIELD = Field(_DAYS, "on these days of the week only")
_F_ON_FAILURE = Field(
    Text(choices=("continue", "stop")), "what a failure does to the journey", default="continue"
)
_F_SAVE_AS = Field(Text("word"), "keeps the JSON answer as `answers.NAME`")
_F_ANY = Field(Boolean(), "see `message.*` events about messages of other enrolments too", default="false")
_F_ARM = Field(_ARM, "steps of this arm; may be empty", needed=True)
_F_UP_TO = Field(Text("positive_length"), "the time limit, counted from the wait's beginning")
_F_OTHERWISE = Field(_ARM, "steps when the time limit passes")

WAIT = Choice(
    "waits for a length of time, a moment, a window or an event",
    "form",
    {
        "for": Object("a length of time", {"for": Field(_LENGTH, "how long", needed=True)}),
        "until": Object(
            "the next such time of day, or a date or instant",
            {
                "until": Field(
                    Text("moment"), "a time such as `10:00`, a date, an instant or an expression", needed=True
                ),
                "days": DAYS_FIELD,
                "offset": Field(
                    Text("offset"), "so much later, or with `-` earlier, than the date or instant"
                ),
                "zone": ZONE_FIELD,
            },
        ),
        "between": Object(
            "goes on at once inside the window, else at its next opening",
            {
                "between": Field(
                    Listing(Text("window_time"), least=2, most=2),
                    "opening and closing; may cross midnight",
                    needed=True,
                ),
                "days": DAYS_FIELD,
                "zone": ZONE_FIELD,
            },
        ),
        "for_event": Object(
            "an event, or the time limit",
            {
                "for_event": Field(Text("event"), "the event waited for", needed=True),
                "where": _F_WHERE,
                "up_to": _F_UP_TO,
                "then": Field(_ARM, "steps when the event came"),
                "otherwise": _F_OTHERWISE,
                "any": _F_ANY,
            },
        ),
        "first_of": Object(
            "several events; the first to come wins",
            {
                "first_of": Field(
                    Listing(
                        Object(
                            "one of the events",
                            {
                                "event": Field(Text("event"), "the event waited for", needed=True),
                                "where": _F_WHERE,
                                "steps": Field(_ARM, "steps when this event came"),
                            },
                        ),
                        least=1,
                    ),
                    "the events, in order of preference",
                    needed=True,
                ),
                "up_to": _F_UP_TO,
                "otherwise": _F_OTHERWISE,
                "any": _F_ANY,
            },
        ),
    },
)

MESSAGE = Object(
    "renders and sends on the first channel that reaches this customer",
    {
        "template": Field(Text("label"), "a folder under `templates/`", needed=True),
        "channels": Field(Listing(Text("label"), least=1), "channels, in order of preference", needed=True),
        "category": Field(
            Text(choices=CATEGORIES), "which consent, caps and hours apply", default="the journey's"
        ),
        "purpose": Field(
            Text("id"), "which of the purposes of `kairos.yaml` it serves", default="the journey's"
        ),
        "send_at": Field(
            Text(choices=("now", "best_time")),
            "at once, or at the hour at which the customer looks most",
            default="now",
        ),
        "on_failure": _F_ON_FAILURE,
    },
)

BRANCH = Listing(
    Choice(
        "the first case that holds is taken",
        "case",
        {
            "where": Object(
                "a case", {"where": Field(EXPRESSION, "what must hold", needed=True), "steps": _F_ARM}
            ),
            "otherwise": Object(
                "the last case", {"otherwise": Field(_ARM, "steps when none holds", needed=True)}
            ),
        },
    ),
    least=1,
)

SPLIT = Object(
    "A/B/n test of anything",
    {
        "variants": Field(
            Listing(
                Object(
                    "a variant",
                    {
                        "name": Field(Text("label"), "the variant's name", needed=True),
                        "weight": Field(
                            Number(0, 100), "its share in per cent, at most two decimals", needed=True
                        ),
                        "steps": _F_ARM,
                    },
                ),
                least=1,
            ),
            "the variants; their weights add up to 100",
            needed=True,
        ),
        "by": Field(Text(choices=("profile", "enrolment")), "what keeps its variant", default="profile"),
    },
)

UPDATE = Object(
    "changes the profile; all of a `set` is computed before any is written",
    {
        "set": Field(Table(_VALUE, "word", least=1), "attributes and their new values; null clears"),
        "add_tags": Field(Listing(Text("label"), least=1), "tags to add"),
        "remove_tags": Field(Listing(Text("label"), least=1), "tags to remove"),
        "stage": Field(Text("label"), "the stage to put the customer in"),
    },
    one_of=("set", "add_tags", "remove_tags", "stage"),
)

WEBHOOK = Object(
    "calls a system, signed; the next step begins when it settles",
    {
        "url": Field(Text("url"), "where to", needed=True),
        "method": Field(Text(choices=("POST", "PUT", "PATCH", "GET", "DELETE")), "how", default="POST"),
        "body": Field(Table(_VALUE), "JSON body", default="{type, enrolment, step, external_id, trigger}"),
        "save_as": _F_SAVE_AS,
        "retry_for": Field(_LENGTH, "how long errors that may pass are retried", default="1h"),
        "on_failure": _F_ON_FAILURE,
    },
)

ENTER = Object(
    "starts another journey",
    {
        "journey": Field(Text("id"), "the journey", needed=True),
        "with": Field(Table(_VALUE), "becomes its `trigger`'s properties"),
    },
)

ACTION = Object(
    "a step that developers registered in Python",
    {
        "name": Field(Text("label"), "the action's name", needed=True),
        "with": Field(Table(_VALUE), "its inputs"),
        "save_as": _F_SAVE_AS,
        "on_failure": _F_ON_FAILURE,
    },
)

AD_AUDIENCE = Choice(
    "puts hashed identifiers of the customer on an advertising audience, or takes them off",
    "form",
    {
        "add_to": Object(
            "puts the customer on it",
            {"add_to": Field(Text("label"), "an audience of `kairos.yaml`", needed=True)},
        ),
        "remove_from": Object(
            "takes the customer off it",
            {"remove_from": Field(Text("label"), "an audience of `kairos.yaml`", needed=True)},
        ),
    },
)

STOP = Either(
    (
        Text("text"),
        Object("ends the journey", {"reason": Field(Text("text"), "why, for people")}),
        Null(),
    ),
    "`{}`, a reason, or `{reason: …}`",
)

VERBS: dict[str, tuple[Shape, str]] = {
    "wait": (WAIT, WAIT.doc),
    "message": (MESSAGE, MESSAGE.doc),
    "branch": (BRANCH, "the first case that holds; none goes on"),
    "split": (SPLIT, SPLIT.doc),
    "update": (UPDATE, UPDATE.doc),
    "webhook": (WEBHOOK, WEBHOOK.doc),
    "ad_audience": (AD_AUDIENCE, AD_AUDIENCE.doc),
    "enter": (ENTER, ENTER.doc),
    "action": (ACTION, ACTION.doc),
    "stop": (STOP, "ends the journey with exit `stopped`"),
}
VERBS_LATER = ("task", "reward")

STEP = Choice(
    "one step: an `id` and exactly one verb",
    "verb",
    {
        verb: Object(
            doc,
            {
                "id": Field(Text("id"), "the step's name, unique in the file", needed=True),
                verb: Field(shape, doc, needed=True),
            },
        )
        for verb, (shape, doc) in VERBS.items()
    },
    later=VERBS_LATER,
)
DEFINITIONS["step"] = STEP
DEFINITIONS["steps"] = Listing(Ref("step"))

_CONDITION = {
    "event": Field(Text("event"), "the event", needed=True),
    "where": _F_WHERE,
}
TYPE_NAME = Text(choices=TYPES)

_REENTER = Field(
    Either(
        (
            Text(choices=("never", "after_exit", "restart")),
            Object(
                "no more than once in so long",
                {"every": Field(Text("positive_length"), "counted from the last entry", needed=True)},
            ),
        ),
        "`never`, `after_exit`, `restart` or `{every: LENGTH}`",
    ),
    "whether and when a customer may enter again",
    default="after_exit",
)

_SCHEDULE = Choice(
    "when a campaign is launched",
    "schedule",
    {
        "cron": Object(
            "again and again",
            {"cron": Field(Text("cron"), "minute, hour, day, month, day of the week", needed=True)},
        ),
        "at": Object("once", {"at": Field(Text("instant"), "the instant", needed=True)}),
    },
)

TRIGGER = Choice(
    "what lets a customer enter",
    "trigger",
    {
        "event": Object(
            "an event arrives",
            {
                "event": Field(Text("event"), "the event", needed=True),
                "where": _F_WHERE,
                "one_per": Field(EXPRESSION, "one live enrolment per customer and this value"),
                "reenter": _REENTER,
                "settle": Field(Text("positive_length"), "enter once no such event has come for so long"),
                "unless": Field(
                    Object("drops the pending entry", _CONDITION), "and not at all if this came meanwhile"
                ),
            },
        ),
        "segment": Object(
            "they enter or leave a segment",
            {
                "segment": Field(Text("label"), "the segment", needed=True),
                "change": Field(
                    Text(choices=("enters", "leaves")), "which of the two counts", default="enters"
                ),
                "reenter": _REENTER,
            },
        ),
        "quiet_for": Object(
            "so long has passed since their last such event",
            {
                "quiet_for": Field(Text("positive_length"), "how long", needed=True),
                "since": Field(Text("event"), "the event", needed=True),
                "where": Field(EXPRESSION, "which of these events count, judged when so long has passed"),
                "reenter": _REENTER,
            },
        ),
        "date": Object(
            "a date of theirs comes round, in their time zone",
            {
                "date": Field(
                    Text("profile_attribute"), "an attribute of type date or datetime", needed=True
                ),
                "offset": Field(Text("offset"), "so much later, or with `-` earlier, than the date"),
                "at": Field(Text("time"), "the time of day", default="midnight; a datetime's own time"),
                "every": Field(Text(choices=("year", "month", "once")), "how often", default="year"),
                "reenter": _REENTER,
            },
        ),
        "audience": Object(
            "a campaign: everybody who is in a segment when it is launched",
            {
                "audience": Field(Text("label"), "the segment", needed=True),
                "schedule": Field(_SCHEDULE, "when", default="launched by hand"),
                "reenter": _REENTER,
            },
        ),
        "manual": Object(
            "the API, a person, or another journey's `enter` puts them in",
            {
                "manual": Field(
                    Either((Boolean(only=True), Table(TYPE_NAME)), "`true`, or properties and their types"),
                    "`true`, or the properties that `trigger` then has",
                    needed=True,
                ),
                "reenter": _REENTER,
            },
        ),
    },
)

JOURNEY = Object(
    "a journey",
    {
        "journey": Field(Text("id"), "the journey's name; equals the file name", needed=True),
        "title": Field(Text(), "for people"),
        "description": Field(Text(), "for people"),
        "trigger": Field(TRIGGER, "what lets a customer enter", needed=True),
        "goal": Field(
            Object(
                "ends a live enrolment, and is a conversion if it comes in time",
                {
                    **_CONDITION,
                    "within": Field(
                        Text("positive_length"),
                        "how long after entry it is a conversion",
                        default="`max_age`",
                    ),
                },
            ),
            "what the journey is for",
        ),
        "exit_when": Field(
            Listing(
                Object(
                    "ends the enrolment; without an event it is looked at before each message",
                    {"event": Field(Text("event"), "the event"), "where": _F_WHERE},
                    one_of=("event", "where"),
                )
            ),
            "what ends an enrolment early",
        ),
        "holdout": Field(Text("percentage"), "share that is walked and measured, sent nothing", default="0%"),
        "category": Field(
            Text(choices=CATEGORIES), "which consent, caps and hours apply", default="marketing"
        ),
        "purpose": Field(
            Text("id"), "which of the purposes of `kairos.yaml` its messages serve", default="none"
        ),
        "policy": Field(Text("label"), "a named policy of `kairos.yaml`", default="default"),
        "max_age": Field(Text("positive_length"), "older enrolments end as `expired`", default="90d"),
        "max_lateness": Field(_LENGTH, "a message later than this is skipped", default="24h"),
        "run_as": Field(
            Text(choices=("workflow", "pool")), "which driver", default="`workflow`; `pool` for an audience"
        ),
        "steps": Field(_STEPS, "the steps, from top to bottom", needed=True),
    },
)
