"""What changes between two versions of a journey, in words."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core import describe
from engine.core.plan import Branch, Goto, Plan, Split, Step, WaitEvent


@dataclass(frozen=True, slots=True)
class Difference:
    """One change. `step` is None for what concerns the whole journey."""

    step: str | None
    text: str


def differences(old: Plan, new: Plan) -> list[Difference]:
    """All changes from `old` to `new`: the journey's own first, then steps in the new file's order."""
    found = [
        Difference(None, f"{name}: {_said(after)} instead of {_said(before)}")
        for (name, before), after in zip(
            describe.facts(old).items(), describe.facts(new).values(), strict=True
        )
        if before != after
    ]
    if old.trigger.properties != new.trigger.properties:
        found.append(Difference(None, "the properties that `enter` may give have changed"))
    for step_id, step in new.steps.items():
        before_step = old.steps.get(step_id)
        if before_step is None:
            found.append(Difference(step_id, f"`{step_id}` is new: {describe.step(step)}{_place(new, step)}"))
        else:
            found += [Difference(step_id, text) for text in _changed(old, new, before_step, step)]
    found += [
        Difference(step_id, f"`{step_id}` is gone: {describe.step(step)}")
        for step_id, step in old.steps.items()
        if step_id not in new.steps
    ]
    return found


def _said(text: str) -> str:
    return text or "nothing"


def _changed(old: Plan, new: Plan, before: Step, after: Step) -> list[str]:
    name = f"`{after.id}`"
    texts = []
    said_before, said_after = describe.step(before), describe.step(after)
    if said_before != said_after:
        verb, _, rest = said_after.partition(" ")
        old_verb, _, old_rest = said_before.partition(" ")
        instead = _last_word(old_rest, rest) if verb == old_verb and old_rest else said_before
        texts.append(f"{name} {verb} {rest} instead of {instead}".replace("  ", " "))
    options_before, options_after = describe.options(before), describe.options(after)
    if options_before != options_after:
        texts.append(
            f"{name}: {_said('; '.join(options_after))} instead of {_said('; '.join(options_before))}"
        )
    texts += _moved(old, new, before, after)
    if not texts and after != before:
        texts.append(f"{name} has other settings")
    return texts


def _last_word(before: str, after: str) -> str:
    """What to say after "instead of": only the last word where nothing else differs."""
    *start, last = before.split(" ")
    return last if start and start == after.split(" ")[:-1] else before


def _moved(old: Plan, new: Plan, before: Step, after: Step) -> list[str]:
    """Where it goes on to, arm by arm; only what the plans' common steps can show."""
    ways_before, ways_after = ways(before), ways(after)
    texts = []
    for arm, target in ways_after.items():
        if arm in ways_before and ways_before[arm] != target:
            where = f" ({arm})" if arm else ""
            texts.append(
                f"`{after.id}`{where} goes on to {_named(target)} instead of {_named(ways_before[arm])}"
            )
    return texts


def _named(target: Goto) -> str:
    return f"`{target}`" if target is not None else "the end"


def _place(plan: Plan, step: Step) -> str:
    for other in plan.steps.values():
        for arm, target in ways(other).items():
            if target == step.id:
                return f", after `{other.id}`" + (f" ({arm})" if arm else "")
    return ", at the beginning" if plan.first == step.id else ""


def ways(step: Step) -> dict[str, Goto]:
    """Name of each way out of a step (empty for the plain next step) to where it leads."""
    match step:
        case WaitEvent():
            found: dict[str, Goto] = {}
            for place, arm in enumerate(step.arms):
                name = arm.when.event if len(step.arms) == 1 else f"{place + 1}. {arm.when.event}"
                found[name] = arm.goto
            if step.up_to is not None:
                found["otherwise"] = step.otherwise
            return found
        case Branch():
            found = {case.where: case.goto for case in step.cases}
            found["otherwise"] = step.otherwise
            return found
        case Split():
            return {variant.name: variant.goto for variant in step.variants}
        case _:
            return {} if step.kind == "stop" else {"": step.next}
