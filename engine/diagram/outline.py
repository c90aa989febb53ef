"""A plan as it was written: steps with their arms nested, from the places that the compiler kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.core import describe
from engine.core.plan import Branch, Plan, Split, Step, Stop, WaitEvent


@dataclass(frozen=True, slots=True)
class Limb:
    """One arm: its label, and the steps on it."""

    label: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Item:
    step: Step
    limbs: tuple[Limb, ...] = field(default=())

    @property
    def ends(self) -> bool:
        """Whether nothing comes after it: a `stop`, or arms that all stop."""
        if isinstance(self.step, Stop):
            return True
        return bool(self.limbs) and all(limb.items and limb.items[-1].ends for limb in self.limbs)


def outline(plan: Plan) -> tuple[Item, ...]:
    """The plan's steps in file order."""
    lists: dict[str, list[str]] = {}
    for step_id, place in plan.path.items():
        lists.setdefault(place.rpartition(".")[0], []).append(step_id)

    def items(place: str) -> tuple[Item, ...]:
        return tuple(
            Item(
                plan.steps[step_id],
                tuple(Limb(label, items(at)) for label, at in _limbs(plan, step_id)),
            )
            for step_id in lists.get(place, ())
        )

    return items("steps")


def _limbs(plan: Plan, step_id: str) -> list[tuple[str, str]]:
    step, place = plan.steps[step_id], plan.path[step_id]
    match step:
        case WaitEvent():
            single = f"{place}.first_of.0.steps"
            first_of = len(step.arms) > 1 or any(p.startswith(single) for p in plan.path.values())
            found = [
                (arm.when.event, f"{place}.first_of.{number}.steps" if first_of else f"{place}.then")
                for number, arm in enumerate(step.arms)
            ]
            if step.up_to is not None:
                found.append((f"not within {describe.length(step.up_to)}", f"{place}.otherwise"))
            return found
        case Branch():
            found = [(case.where, f"{place}.branch.{number}.steps") for number, case in enumerate(step.cases)]
            return [*found, ("otherwise", f"{place}.branch.{len(step.cases)}.otherwise")]
        case Split():
            return [
                (f"{variant.name} {describe.percent(variant.weight)}", f"{place}.variants.{number}.steps")
                for number, variant in enumerate(step.variants)
            ]
    return []
