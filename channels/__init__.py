"""Channels: getting a rendered message to a person through a provider.

One file a provider (`outbox`, `smtp`, `wechat`, …), found by the entry point group `kairos.channels`. An
adapter gets a batch of messages and gives back one outcome per message: `Accepted`, `Rejected` (for good),
`Throttled`, `Unavailable` (surely not taken) or `Unknown` (perhaps taken). Telling the last two apart is the
main duty of every adapter: a send is repeated freely after the one, and only by rule after the other.

Imports nothing of `engine`; what an adapter needs of us is handed in. No personal data and no secret appears
in a log, an error or a repr. How to write an adapter: docs/adding-a-channel.md.
"""

from channels.audiences import AudienceAdapter, Member
from channels.errors import (
    ChannelError,
    ConfigurationError,
    Rejected,
    Throttled,
    Unavailable,
    Unknown,
)
from channels.http import Answer, HttpClient
from channels.inbound import Call, Forged, Heard, Inbound, Reply
from channels.limits import Hours, Need, Opening, Quota
from channels.message import Brand, Message
from channels.pacing import Outcome, Pacer, Rate, each
from channels.port import ANY_CHANNEL, Adapter, Capabilities, Settings, Sink
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.registry import create, find, names
from channels.tokens import Kept, MemoryTokens, TokenStore
from channels.webhook import WebhookAnswer, WebhookCaller

__all__ = [
    "ANY_CHANNEL",
    "Accepted",
    "Adapter",
    "Answer",
    "AudienceAdapter",
    "Brand",
    "Call",
    "Capabilities",
    "ChannelError",
    "ConfigurationError",
    "DeliveryState",
    "Forged",
    "Heard",
    "Hours",
    "HttpClient",
    "Inbound",
    "Kept",
    "Member",
    "MemoryTokens",
    "Message",
    "Need",
    "Opening",
    "Outcome",
    "Pacer",
    "Quota",
    "Rate",
    "Reason",
    "Receipt",
    "Rejected",
    "Reply",
    "Settings",
    "Sink",
    "Throttled",
    "TokenStore",
    "Unavailable",
    "Unknown",
    "WebhookAnswer",
    "WebhookCaller",
    "create",
    "each",
    "find",
    "names",
]
