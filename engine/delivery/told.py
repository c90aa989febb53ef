"""Receipts and inbound events as rows that wait to be worked off, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from channels.inbound import Heard, Inbound
from channels.receipt import DeliveryState, Reason, Receipt
from engine.customers.identifiers import Unusable, normalise
from engine.store.heard import NewHeard

RECEIPT, INBOUND = "receipt", "inbound"


def rows_of(heard: Heard) -> list[NewHeard]:
    """What one call told, ready to be kept."""
    receipts = [NewHeard(RECEIPT, _receipt(each)) for each in heard.receipts]
    return receipts + [NewHeard(INBOUND, _inbound(each), each.message_id) for each in heard.inbound]


def receipt_of(payload: Mapping[str, Any]) -> Receipt:
    """A kept receipt. Raises `KeyError`, `ValueError` or `TypeError` for what is none."""
    reason = payload.get("reason")
    return Receipt(
        DeliveryState(payload["state"]),
        datetime.fromisoformat(payload["at"]),
        payload.get("key"),
        payload.get("provider_id"),
        None if reason is None else Reason(reason),
        payload.get("permanent", False),
        payload.get("link"),
        payload.get("raw"),
    )


def inbound_of(payload: Mapping[str, Any], message_id: str) -> Inbound:
    """A kept inbound event. Raises as `receipt_of`."""
    return Inbound(
        payload["name"],
        datetime.fromisoformat(payload["at"]),
        message_id,
        tuple((kind, value) for kind, value in payload["identities"]),
        payload["properties"],
        payload.get("opt_out", False),
    )


def _receipt(receipt: Receipt) -> dict[str, Any]:
    said = {
        "state": receipt.state.value,
        "at": receipt.at.isoformat(),
        "key": receipt.key,
        "provider_id": receipt.provider_id,
        "reason": None if receipt.reason is None else receipt.reason.value,
        "permanent": receipt.permanent,
        "link": receipt.link,
        "raw": receipt.raw,
    }
    return {name: value for name, value in said.items() if value not in (None, False)}


def _inbound(inbound: Inbound) -> dict[str, Any]:
    return {
        "name": inbound.name,
        "at": inbound.at.isoformat(),
        # In the shapes of their kinds: whoever is erased is found by them.
        "identities": [[kind, _normal(kind, value)] for kind, value in inbound.identities],
        "properties": dict(inbound.properties),
    } | ({"opt_out": True} if inbound.opt_out else {})


def _normal(kind: str, value: str) -> str:
    """What cannot be brought into its shape stays as it came: whoever works it off says why."""
    try:
        return normalise(kind, value)
    except Unusable:
        return value
