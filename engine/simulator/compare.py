"""What a scenario expects against what happened, in words that a marketer understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import zip_longest
from typing import Any

from engine.core.describe import length
from engine.core.words import reason_in_words
from engine.language.catalogue import Catalogue
from engine.language.scenarios import ExpectedMessage
from engine.language.types import coerce, to_json
from engine.simulator.person import SentMessage
from engine.simulator.scenario import ScenarioRun


@dataclass(frozen=True, slots=True)
class Difference:
    """One key of `expect` that does not fit. `line` is its place in the scenario file, from 1."""

    key: str
    expected: str
    got: str
    line: int
    because: tuple[str, ...] = field(default=())
    """Sentences that explain it."""
    table: tuple[tuple[str, str, bool], ...] = field(default=())
    """Messages side by side: (expected, got, whether they fit)."""


def compare(run: ScenarioRun, catalogue: Catalogue) -> list[Difference]:
    """Every key of `expect` that does not fit, in the order of the language page; empty if all is well."""
    return [found for found in _differences(run, catalogue) if found is not None]


def _differences(run: ScenarioRun, catalogue: Catalogue) -> list[Difference | None]:
    expect = run.scenario.expect
    found: list[Difference | None] = [_entered(run), _messages(run), _exit(run)]
    if expect.converted is not None:
        got = any(enrolment.converted_at is not None for enrolment in run.enrolments)
        if got is not expect.converted:
            found.append(_difference(run, "converted", _yes(expect.converted), _yes(got)))
    found.append(_tags(run))
    found.append(_attributes(run, catalogue))
    if expect.steps is not None:
        begun = _begun(run)
        if begun != list(expect.steps):
            found.append(
                _difference(run, "steps", ", ".join(expect.steps) or "none", ", ".join(begun) or "none")
            )
    found.append(_skipped(run))
    return found


def _difference(
    run: ScenarioRun,
    key: str,
    expected: str,
    got: str,
    because: Sequence[str] = (),
    table: Sequence[tuple[str, str, bool]] = (),
) -> Difference:
    mark = run.scenario.expect.marks.get(key, run.scenario.mark)
    return Difference(key, expected, got, mark.line, tuple(because), tuple(table))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _entered(run: ScenarioRun) -> Difference | None:
    wanted, got = run.scenario.expect.entered, len(run.enrolments)
    if wanted is None:
        return None
    if isinstance(wanted, bool):
        if wanted == (got > 0):
            return None
        return _difference(run, "entered", _yes(wanted), _yes(got > 0), _refusals(run))
    return None if wanted == got else _difference(run, "entered", str(wanted), str(got), _refusals(run))


_REFUSALS = {
    "live": "an enrolment was still live",
    "never_again": "`reenter: never` allows only one entry",
    "too_soon": "the last entry was too recent for `reenter`",
    "paused": "the journey was paused",
}


def _refusals(run: ScenarioRun) -> list[str]:
    return [
        f"{count} {'entry was' if count == 1 else 'entries were'} refused because {_REFUSALS[reason]}"
        for reason, count in run.refused.items()
        if reason in _REFUSALS
    ]


# --- messages -------------------------------------------------------------------------------------------


def _messages(run: ScenarioRun) -> Difference | None:
    wanted = run.scenario.expect.messages
    if wanted is None:
        return None
    got, since = run.messages, run.counts_from
    pairs = list(zip_longest(wanted, got))
    fits = [w is not None and g is not None and _fits(w, g, g.at - since) for w, g in pairs]
    if all(fits):
        return None
    table = [
        (_wanted_row(w) if w else "nothing", _got_row(g, g.at - since) if g else "nothing", fit)
        for (w, g), fit in zip(pairs, fits, strict=True)
    ]
    because = [] if run.enrolments else ["the customer never entered the journey", *_refusals(run)]
    expected, found = _amount(len(wanted)), _amount(len(got))
    if expected == found:
        expected, found = f"the {expected} below", "others"
    return _difference(run, "messages", expected, found, [*because, *_skips(run)], table)


def _amount(number: int) -> str:
    return "1 message" if number == 1 else f"{number or 'no'} messages"


def _fits(wanted: ExpectedMessage, got: SentMessage, at: timedelta) -> bool:
    return (
        wanted.at in (None, at)
        and wanted.channel in (None, got.channel)
        and wanted.template in (None, got.template)
        and wanted.step in (None, got.step)
    )


def _wanted_row(wanted: ExpectedMessage) -> str:
    at = "at any time" if wanted.at is None else f"at {length(wanted.at)}"
    parts = [at, wanted.channel or "any channel", wanted.template or "any template"]
    return " · ".join([*parts, f"step {wanted.step}"] if wanted.step else parts)


def _got_row(got: SentMessage, at: timedelta) -> str:
    return f"at {length(at)} · {got.channel} · {got.template}"


def _skips(run: ScenarioRun) -> list[str]:
    sentences = []
    for enrolment in run.enrolments:
        for line in enrolment.skipped():
            step, at = line.step or "", length(line.at - run.counts_from)
            reasons = [reason_in_words(reason, channel) for channel, reason in line.passed_over]
            why = ", ".join(reasons) or reason_in_words(line.detail)
            if line.detail == "render":
                why = f"{reason_in_words('render')}: {enrolment.render_errors.get(step, '')}"
            sentences.append(f"`{step}` sent nothing at {at}; it was skipped because: {why}")
    return sentences


# --- the rest -------------------------------------------------------------------------------------------


def _exit(run: ScenarioRun) -> Difference | None:
    wanted = run.scenario.expect.exit
    if wanted is None:
        return None
    exits = [enrolment.state.exit or "still under way" for enrolment in run.enrolments]
    if isinstance(wanted, str):
        if exits and exits[-1] == wanted:
            return None
        got = exits[-1] if exits else "never entered"
        because = _refusals(run)
        if exits and run.enrolments[-1].exit_detail:
            because = [*because, f"it ended by {run.enrolments[-1].exit_detail}"]
        return _difference(run, "exit", wanted, got, because)
    if list(wanted) == exits:
        return None
    return _difference(run, "exit", ", ".join(wanted) or "none", ", ".join(exits) or "never entered")


def _tags(run: ScenarioRun) -> Difference | None:
    tags = run.simulation.tags_of(run.person)
    has = [tag for tag in run.scenario.expect.tags_has if tag not in tags]
    lacks = [tag for tag in run.scenario.expect.tags_lacks if tag in tags]
    if not has and not lacks:
        return None
    wanted = [f"has `{tag}`" for tag in has] + [f"lacks `{tag}`" for tag in lacks]
    got = ", ".join(f"`{tag}`" for tag in sorted(tags)) or "no tags"
    return _difference(run, "tags", ", ".join(wanted), got)


def _attributes(run: ScenarioRun, catalogue: Catalogue) -> Difference | None:
    wrong = []
    for name, wanted in run.scenario.expect.attributes.items():
        about = catalogue.attribute(name)
        value = run.value(name)
        if not _same(wanted if about is None else coerce(wanted, about.type), value):
            wrong.append((name, wanted, value))
    if not wrong:
        return None
    return _difference(
        run,
        "attributes",
        ", ".join(f"{name} = {_shown(wanted)}" for name, wanted, _ in wrong),
        ", ".join(f"{name} = {_shown(value)}" for name, _, value in wrong),
    )


def _same(wanted: Any, value: Any) -> bool:
    left, right = to_json(wanted), to_json(value)
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _shown(value: Any) -> str:
    return "not set" if value is None else str(to_json(value))


def _begun(run: ScenarioRun) -> list[str]:
    lines = (line for enrolment in run.enrolments for line in enrolment.trace if line.result == "began")
    return [line.step or "" for line in sorted(lines, key=lambda line: line.at)]


def _skipped(run: ScenarioRun) -> Difference | None:
    wanted = run.scenario.expect.skipped
    if wanted is None:
        return None
    lines = [line for enrolment in run.enrolments for line in enrolment.skipped()]
    lines.sort(key=lambda line: line.at)
    fits = len(wanted) == len(lines) and all(
        each.step in (None, line.step) and each.reason in (None, line.detail)
        for each, line in zip(wanted, lines, strict=False)
    )
    if fits:
        return None
    return _difference(
        run,
        "skipped",
        ", ".join(f"{each.step or 'any step'}: {each.reason or 'any reason'}" for each in wanted)
        or "nothing",
        ", ".join(f"{line.step}: {line.detail}" for line in lines) or "nothing",
        _skips(run),
    )
