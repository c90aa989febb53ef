"""A plan as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

from engine.core import describe
from engine.core.differences import ways
from engine.core.plan import Branch, Goto, Message, Plan, Split, Step, Stop, WaitEvent


def mermaid(plan: Plan) -> str:
    """Text for a ```mermaid block."""
    names = {step_id: f"s{number}" for number, step_id in enumerate(plan.steps)}
    lines = ["flowchart TD", f'  start(["{_text(describe.trigger(plan.trigger))}"])']
    for step_id, step in plan.steps.items():
        left, right = _shape(step)
        label = f"<b>{_text(step_id)}</b><br/>{_text(_said(step))}"
        lines.append(f'  {names[step_id]}{left}"{label}"{right}')
    lines.append("  done([end])")

    def target(goto: Goto) -> str:
        return names[goto] if goto is not None else "done"

    lines.append(f"  start --> {target(plan.first)}")
    for step_id, step in plan.steps.items():
        shares = (
            {v.name: describe.percent(v.weight) for v in step.variants} if isinstance(step, Split) else {}
        )
        for label, goto in ways(step).items():
            said = f"{label} {shares[label]}" if label in shares else label
            arrow = f'-->|"{_text(said)}"|' if said else "-->"
            lines.append(f"  {names[step_id]} {arrow} {target(goto)}")
    return "\n".join(lines) + "\n"


def _said(step: Step) -> str:
    # The arms' own labels say what a branch or split does.
    match step:
        case Branch():
            return "branches"
        case Split():
            return "splits" + (" by enrolment" if step.by == "enrolment" else "")
    return describe.step(step)


def _shape(step: Step) -> tuple[str, str]:
    match step:
        case Branch() | Split():
            return "{{", "}}"
        case Message():
            return "[", "]"
        case Stop():
            return "([", "])"
        case WaitEvent():
            return "[/", "/]"
    return "(", ")"


def _text(text: str) -> str:
    for character, entity in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return text
