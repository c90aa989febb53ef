"""What effects need beside what delivery needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from channels.webhook import WebhookCaller
from engine.delivery.ports import DeliveryPorts
from engine.sdk import Action


@dataclass(slots=True, kw_only=True)
class EffectPorts(DeliveryPorts):
    """`webhooks` signs and calls; `actions` are those that `engine.sdk.discover` found."""

    webhooks: WebhookCaller
    actions: Mapping[str, Action] = field(default_factory=dict)
