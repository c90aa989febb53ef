"""Who gets which variant: a pure function of a salt and a key, so that every driver and report agrees.

Version 1 of the hash: the first 8 bytes (big-endian) of SHA-256(`"1:" + salt + ":" + key`), modulo
10,000. Variants take ranges of it in the file's order, so raising one weight moves only the border.
`tests/vectors/assignment.json` holds vectors; a new version of the hash gets a new number in front.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from engine.core.plan import (
    Branch,
    Effect,
    Goto,
    Message,
    Plan,
    Split,
    Variant,
    WaitInstant,
    WaitTime,
    WaitWindow,
)

WHOLE = 10_000


def share(salt: str, key: str) -> int:
    """0 to 9,999, uniform over keys, unrelated between salts."""
    digest = hashlib.sha256(f"1:{salt}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % WHOLE


def pick(variants: Sequence[Variant], position: int) -> Variant:
    """The variant whose range holds `position`."""
    upper = 0
    for variant in variants:
        upper += variant.weight
        if position < upper:
            return variant
    return variants[-1]


def assign(journey: str, split: Split, key: str, enrolment_id: str) -> Variant:
    """The variant of `split`: by profile sticky for this person, by enrolment drawn anew each time."""
    subject = key if split.by == "profile" else enrolment_id
    return pick(split.variants, share(f"{journey}/{split.id}", subject))


def stands(
    plan: Plan, target: Goto, key: str, enrolment_id: str, taken: Mapping[str, str]
) -> tuple[Goto, dict[str, str]]:
    """The step at which an enrolment that goes to `target` stands, and the variants it takes on the way.

    Splits take no time: they are passed through. `taken` are its variants so far, which it keeps.
    """
    found: dict[str, str] = {}
    while target is not None and isinstance(step := plan.steps[target], Split):
        variant = next((v for v in step.variants if v.name == taken.get(step.id)), None)
        variant = variant or assign(plan.journey, step, key, enrolment_id)
        found[step.id] = variant.name
        target = variant.goto
    return target, found


def acts_at_once(plan: Plan) -> bool:
    """Whether an enrolment may have work or a question open before it first waits."""
    return any(isinstance(step, _WORK) for step in _first_steps(plan, plan.first))


_WORK = (Message, Effect, Branch, WaitTime, WaitInstant, WaitWindow)


def _first_steps(plan: Plan, target: Goto) -> Iterator[object]:
    if target is None:
        return
    step = plan.steps[target]
    if isinstance(step, Split):
        for variant in step.variants:
            yield from _first_steps(plan, variant.goto)
    else:
        yield step


def held_out(journey: str, holdout: int, key: str) -> bool:
    """Whether this profile belongs to the journey's holdout (`holdout` in units of 1/10,000)."""
    return holdout > 0 and share(f"{journey}/holdout", key) < holdout
