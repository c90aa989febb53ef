"""Names that the same input always gives: profile keys, event ids, enrolment ids.

None of them can be read back into a personal value: keys are SHA-256, ids are UUIDv5 over keys and ids, or
UUIDv8 for those who enter in a crowd.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

_NAMESPACE = UUID("6f3c1f0e-5d0b-5c67-9d52-6b6169726f73")


def _uuid5(name: str) -> str:
    # As `str(uuid.uuid5(_NAMESPACE, name))`, a third of its time: every event and enrolment has one.
    digest = bytearray(hashlib.sha1(_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def profile_key(kind: str, value: str) -> str:
    """The immutable key of a profile first seen with this identity: 64 hex digits."""
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()


def event_id(source: str, message_id: str) -> str:
    """The id of an event; the same message of the same source always has the same."""
    return _uuid5(f"event\x00{source}\x00{message_id}")


def one_per_text(value: Any) -> str:
    """The `one_per` value as text; null is a value of its own, and numbers do not meet text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def enrolment_id(journey: str, key: str, one_per: str, trigger_event_id: str) -> str:
    """The id of the enrolment that this trigger event makes for this profile and `one_per` text."""
    return _uuid5(f"enrolment\x00{journey}\x00{key}\x00{one_per}\x00{trigger_event_id}")


def crowd_salt(journey: str, one_per: str, crowd_id: str) -> bytes:
    """What `crowd_enrolment_id` puts before the profile's key."""
    return f"enrolment\x00{journey}\x00{one_per}\x00{crowd_id}\x00".encode()


def crowd_enrolment_id(journey: str, key: str, one_per: str, crowd_id: str, profile_id: str) -> str:
    """The id of the enrolment that this crowd makes for this profile and `one_per` text: a UUIDv8.

    Its first digits are those of the crowd's id (an instant), then of the profile's, then of SHA-256 over the
    rest: who is entered in the order of profiles gets ascending ids, so that indexes grow at their end.
    `engine.store.crowd_slices` says the same in SQL.
    """
    drawn = hashlib.sha256(crowd_salt(journey, one_per, crowd_id) + key.encode()).hexdigest()
    return f"{crowd_id[:13]}-8{profile_id[:3]}-8{profile_id[3:6]}-{drawn[:12]}"


def workflow_id(journey: str, enrolment: str) -> str:
    return f"{journey}/{enrolment}"


def crowd_workflow_id(journey: str, crowd_id: str) -> str:
    return f"crowd/{journey}/{crowd_id}"


def customer_token(key: str) -> str:
    """What `KairosCustomer` holds in Temporal: the first 16 digits of the profile's key."""
    return key[:16]


def delivery_key(enrolment: str, step: str) -> str:
    """The idempotency key of one message or effect: the same over retries, resets and restarts."""
    return _uuid5(f"delivery\x00{enrolment}\x00{step}")
