"""Makes a case smaller while it still differs, so that a person can see why."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from typing import Any

import yaml

from engine.language.project import check_project
from tests.integration.parity.authoring import signatures, write
from tests.integration.parity.cases import Case
from tests.integration.parity.crowds import Burst

HEAD = ("goal", "exit_when", "holdout", "category", "max_age")
TRIGGER = ("where", "unless", "settle", "one_per", "reenter")


async def shrink(
    case: Case, customer: str, differs: Callable[[Case], Awaitable[bool]], *, tries: int = 80
) -> Case:
    """The smallest case found for which `differs` still holds, by leaving things out one after another.

    `differs` is asked at most `tries` times, and never twice about the same case.
    """
    asked: set[str] = set()
    found = True
    while found:
        found = False
        for candidate in smaller(case, customer):
            name = json.dumps(
                [candidate.files, [(str(b.at), b.messages) for b in candidate.bursts]], sort_keys=True
            ) + str(candidate.operations)
            if name in asked or check_project(candidate.files, signatures()).errors:
                continue
            if len(asked) >= tries:
                return case
            asked.add(name)
            if await differs(candidate):
                case, found = candidate, True
                break
    return case


def smaller(case: Case, customer: str) -> Iterator[Case]:
    """Cases with something less, the greatest omissions first. Some of them may not check."""
    if len(case.customers) > 1:
        yield Case(case.files, _keep(case.bursts, lambda m: m["userId"] == customer), case.operations)
    yield from _fewer_journeys(case)
    for journey in {each.journey for each in case.operations}:
        yield Case(case.files, case.bursts, [each for each in case.operations if each.journey != journey])
    yield from _fewer_messages(case)
    for path, text in case.files.items():
        if path.startswith("journeys/") and path != "journeys/catalog.yaml":
            for less in _smaller_journeys(yaml.safe_load(text)):
                yield Case(case.files | {path: write(less)}, case.bursts, case.operations)


def _fewer_journeys(case: Case) -> Iterator[Case]:
    for path in case.files:
        if path.startswith("journeys/") and path != "journeys/catalog.yaml":
            name = path.removeprefix("journeys/").removesuffix(".yaml")
            files = {other: text for other, text in case.files.items() if other != path}
            yield Case(files, case.bursts, [each for each in case.operations if each.journey != name])


def _fewer_messages(case: Case) -> Iterator[Case]:
    ids = [m["messageId"] for burst in case.bursts for m in burst.messages if m["type"] != "identify"]
    size = len(ids) // 2
    while size:
        for start in range(0, len(ids), size):
            gone = set(ids[start : start + size])
            yield Case(
                case.files, _keep(case.bursts, lambda m, g=gone: m["messageId"] not in g), case.operations
            )
        size //= 2


def _keep(bursts: list[Burst], wanted: Callable[..., bool]) -> list[Burst]:
    kept = [Burst(burst.at, [m for m in burst.messages if wanted(m)]) for burst in bursts]
    return [burst for burst in kept if burst.messages]


def _smaller_journeys(journey: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for place in range(len(list(_lists(journey)))):
        for at in range(len(list(_lists(journey))[place])):
            less = deepcopy(journey)
            del list(_lists(less))[place][at]
            yield less
    for key in HEAD:
        if key in journey:
            yield {name: value for name, value in journey.items() if name != key}
    for key in TRIGGER:
        if key in journey["trigger"]:
            trigger = {name: value for name, value in journey["trigger"].items() if name != key}
            yield journey | {"trigger": trigger}


def _lists(node: Any) -> Iterator[list[Any]]:
    """Every list of steps, the outermost first."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("steps", "then", "otherwise") and isinstance(value, list):
                yield value
            yield from _lists(value)
    elif isinstance(node, list):
        for value in node:
            yield from _lists(value)
