"""Plans in words that a marketer uses: steps, lengths, triggers. For differences, diagrams and reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from engine.core.plan import (
    Branch,
    Effect,
    Message,
    Plan,
    Split,
    Step,
    Stop,
    Trigger,
    WaitEvent,
    WaitInstant,
    WaitLength,
    WaitTime,
    WaitWindow,
)

_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def length(value: timedelta) -> str:
    """`1d12h`, as the journey language writes it. Weeks only when nothing is left over."""
    seconds = int(value.total_seconds())
    if seconds == 0:
        return "0s"
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds % 604_800 == 0:
        return f"{sign}{seconds // 604_800}w"
    parts = []
    for unit, size in _UNITS[1:]:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)


def percent(weight: int) -> str:
    """A share in units of 1/10,000 as `12.5%`."""
    return f"{weight / 100:g}%"


def either(names: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def _days(days: tuple[int, ...]) -> str:
    return f" on {', '.join(_DAYS[day - 1] for day in days)}" if days else ""


def _zone(zone: str) -> str:
    return "" if zone == "profile" else f" ({zone} time)"


def trigger(found: Trigger) -> str:
    """How a customer enters."""
    if found.kind == "manual":
        return "by hand, by the API or by another journey"
    match found.kind:
        case "segment":
            side = "enters" if found.event == "segment.entered" else "leaves"
            return f"when a customer {side} the segment {found.segment}"
        case "quiet":
            past = "" if found.quiet_for is None else length(found.quiet_for)
            return f"once {past} have passed since the last {_event(found.since or '', found.where)}"
        case "date":
            return _date(found)
        case "audience":
            return f"by everybody in the segment {found.segment}, {launches(found)}"
    text = f"on {found.event}"
    if found.where:
        text += f" where {found.where}"
    if found.settle is not None:
        text += f", once none has come for {length(found.settle)}"
    if found.unless is not None:
        text += f", unless {found.unless.event} comes meanwhile"
        if found.unless.where:
            text += f" where {found.unless.where}"
    return text


def _date(found: Trigger) -> str:
    side = ""
    if found.offset:
        side = f"{length(abs(found.offset))} {'before' if found.offset < timedelta(0) else 'after'} "
    clock = "" if found.at is None else f" at {found.at}"
    every = "once" if found.every == "once" else f"every {found.every}"
    return f"{side or 'on '}profile.{found.attribute}{clock}, {every}"


def launches(found: Trigger) -> str:
    """When a campaign is launched."""
    if found.cron is not None:
        return f"at each `{found.cron}`"
    return "by hand" if found.at is None else f"at {found.at}"


def reenter(found: Trigger) -> str:
    """When a customer may enter again."""
    if isinstance(found.reenter, timedelta):
        return f"every {length(found.reenter)} at most"
    return {"never": "never again", "after_exit": "after the exit", "restart": "at once, from the start"}[
        found.reenter
    ]


def step(found: Step) -> str:
    """What one step does, without what hangs below it: `waits 30m`, `sends x by sms`."""
    match found:
        case WaitLength():
            return f"waits {length(found.length)}"
        case WaitTime():
            return f"waits until {found.time}{_days(found.days)}{_zone(found.zone)}"
        case WaitInstant():
            moment = found.expression or found.instant
            if found.offset:
                side = "before" if found.offset < timedelta(0) else "after"
                return f"waits until {length(abs(found.offset))} {side} {moment}{_zone(found.zone)}"
            return f"waits until {moment}{_zone(found.zone)}"
        case WaitWindow():
            return f"waits for {found.opens}–{found.closes}{_days(found.days)}{_zone(found.zone)}"
        case WaitEvent():
            events = either([_event(arm.when.event, arm.when.where) for arm in found.arms])
            return f"waits for {events}" + (f" up to {length(found.up_to)}" if found.up_to else "")
        case Message():
            return f"sends {found.template} by {either(found.channels)}"
        case Branch():
            return "branches on " + "; ".join(case.where for case in found.cases)
        case Split():
            shares = " / ".join(f"{variant.name} {percent(variant.weight)}" for variant in found.variants)
            return f"splits {shares}" + (" by enrolment" if found.by == "enrolment" else "")
        case Effect():
            return _effect(found)
        case Stop():
            return "stops" + (f" ({found.reason})" if found.reason else "")


def _event(name: str, where: str | None) -> str:
    return f"{name} where {where}" if where else name


def _effect(found: Effect) -> str:
    spec = found.spec
    match found.verb:
        case "webhook":
            return f"calls {spec.get('method', 'POST')} {spec.get('url')}"
        case "ad_audience":
            if "add_to" in spec:
                return f"adds to the audience {spec['add_to']}"
            return f"removes from the audience {spec.get('remove_from')}"
        case "enter":
            return f"enters the journey {spec.get('journey')}"
        case "action":
            return f"runs the action {spec.get('name')}"
        case _:
            done = [f"sets {name} to {value}" for name, value in (spec.get("set") or {}).items()]
            if spec.get("add_tags"):
                done.append(f"adds the tags {', '.join(spec['add_tags'])}")
            if spec.get("remove_tags"):
                done.append(f"removes the tags {', '.join(spec['remove_tags'])}")
            if spec.get("stage"):
                done.append(f"moves to the stage {spec['stage']}")
            return "; ".join(done) or "updates nothing"


def options(found: Step) -> list[str]:
    """Settings of a step that its sentence leaves out, one text each."""
    texts = []
    if isinstance(found, Effect):
        for name in ("with", "body"):
            if found.spec.get(name):
                texts.append(f"{name} {', '.join(f'{k}: {v}' for k, v in found.spec[name].items())}")
        if found.spec.get("retry_for"):
            texts.append(f"retried for {length(timedelta(seconds=found.spec['retry_for']))}")
        if found.save_as:
            texts.append(f"saved as answers.{found.save_as}")
    if isinstance(found, Effect | Message) and found.on_failure == "stop":
        texts.append("a failure ends the journey")
    if isinstance(found, Message) and found.category == "transactional":
        texts.append("transactional")
    if isinstance(found, Message) and found.purpose is not None:
        texts.append(f"for {found.purpose}")
    return texts


def facts(plan: Plan) -> dict[str, str]:
    """Everything about a journey that is not a step, name to words, for comparing two versions."""
    found = {
        "title": plan.title or "",
        "trigger": trigger(plan.trigger),
        "one enrolment per": plan.trigger.one_per or "customer",
        "re-entry": reenter(plan.trigger),
        "goal": "",
        "exits when": "",
        "holdout": percent(plan.holdout),
        "category": plan.category,
        "policy": plan.policy,
        "oldest age": length(plan.max_age),
        "latest message": length(plan.max_lateness),
        "runs as": plan.run_as,
    }
    if plan.goal is not None:
        goal = plan.goal
        found["goal"] = f"{_event(goal.when.event, goal.when.where)} within {length(goal.within)}"
    rules = [(int(c.id.partition(".")[2]), _event(c.event, c.where)) for c in plan.exit_events]
    rules += list(plan.exit_rules)
    found["exits when"] = "; ".join(text for _, text in sorted(rules))
    return found
