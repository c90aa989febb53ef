"""Rendering a personalised e-mail: ours, against a sandboxed Jinja2 that is given the very same sources.

The e-mail has a layout, a block shared by messages, a loop over what was ordered and a style sheet. Ours has
its layout put in, its styles written into the elements and its text part made once, before the first message;
the baseline renders the three sources that come of it, so that both write the same characters. The baseline
holds no budget, knows no null, and would write "None".
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from jinja2.sandbox import SandboxedEnvironment

from benchmarks.findings import Finding, compared
from benchmarks.lab import Lab
from engine.content import Folder, TemplateSet

FULL = 1_000
FILES = {
    "templates/_layouts/letter.html.j2": """<!doctype html>
<html><head><title>{{ title }}</title><style>
body {font-family: Arial, sans-serif; color: #222}
table.items {width: 100%; border-collapse: collapse}
table.items td {padding: 6px; border-bottom: 1px solid #ddd}
.price {text-align: right}
h1 {font-size: 22px; margin: 0 0 12px}
.button {display: inline-block; padding: 12px 24px; background: #176; color: #fff}
.small {font-size: 12px; color: #777}
</style></head><body>
<div class="preheader" style="display:none">{{ title }}</div>
{% block body %}{% endblock %}
{% include "footer" %}
</body></html>
""",
    "templates/_blocks/footer.html.j2": """<p class="small">{{ brand.name }}, {{ brand.address }}<br>
You get this letter because you asked for it.
<a href="https://example.com/stop/{{ profile.external_id }}">No more letters</a></p>
""",
    "templates/order/email.subject.j2": "{{ profile.first_name | default('Dear customer') }}, your order",
    "templates/order/email.html.j2": """{% extends "letter" %}{% set title = "Your order" %}
{% block body %}
<h1>Dear {{ profile.first_name | default("customer") }},</h1>
<p>thank you for your order of {{ trigger.total }} yuan{% if profile.tier == "gold" %}, with your gold
rebate{% endif %}. It leaves our house on {{ trigger.ships_on | default("Monday") }}.</p>
<table class="items">
{% for item in trigger.lines %}
<tr><td>{{ loop.index }}</td><td>{{ item.name }}</td>
<td class="price">{{ item.quantity }} × {{ item.price }}</td></tr>
{% endfor %}
</table>
<p><a class="button" href="https://example.com/orders/{{ trigger.order_id }}">See your order</a></p>
{% if trigger.note %}<p>Your note: {{ trigger.note }}</p>{% endif %}
{% endblock %}
""",
}
NOW = datetime(2026, 11, 11, 10, tzinfo=UTC)


async def run(lab: Lab) -> list[Finding]:
    """E-mails a second of processor time, ours and the baseline's in turns."""
    size = lab.sized(FULL, 50)
    contexts = [_context(number) for number in range(size)]
    templates = TemplateSet(FILES, "en")
    alone = _alone(templates)
    _same(templates, alone, contexts[0])
    ours, theirs = [], []
    for number in range(lab.pairs + 1):
        mine, bare = _timed(templates, contexts), _alone_timed(alone, contexts)
        if number:  # the first fills caches
            ours.append(size / mine)
            theirs.append(size / bare)
    characters = sum(map(len, templates.render("order", "email", contexts[0]).parts.values()))
    return [
        compared(
            "an e-mail with layout, block and loop rendered",
            "sandboxed Jinja2 alone, same sources",
            ours,
            theirs,
            0.7,
            "at least",
            unit="e-mails a second a core",
            notes=[f"{size:,} e-mails a run of three parts and some {characters:,} characters, CPU time"],
        )
    ]


def _context(number: int) -> dict[str, Any]:
    items = [
        {"name": f"Longjing {number} & {each}", "quantity": each + 1, "price": 48.5 + each}
        for each in range(8)
    ]
    profile = {"external_id": f"c-{number}", "first_name": f"Li <{number}>", "tier": "gold", "locale": "en"}
    return {
        "profile": profile,
        "trigger": {
            "order_id": f"o-{number}",
            "total": 412.5,
            "lines": items,
            "note": None if number % 2 else "Ring twice",
            "ships_on": None,
        },
        "event": {},
        "answers": {},
        "now": NOW,
        "brand": {"name": "Nanxun Tea", "address": "1 Lake Road, Huzhou"},
        "links": {},
    }


def _timed(templates: TemplateSet, contexts: list[dict[str, Any]]) -> float:
    began = time.process_time()
    for context in contexts:
        templates.render("order", "email", context)
    return time.process_time() - began


def _alone(templates: TemplateSet) -> dict[str, Any]:
    """The sources that ours compiled, compiled by a sandboxed Jinja2 as it comes."""
    html, plain = SandboxedEnvironment(autoescape=True), SandboxedEnvironment()
    made = templates.made("order", "email", Folder())
    return {part: (html if part == "html" else plain).from_string(each.source) for part, each in made.items()}


def _alone_timed(alone: dict[str, Any], contexts: list[dict[str, Any]]) -> float:
    began = time.process_time()
    for context in contexts:
        # It cannot tell null from a value: the caller leaves nulls out, as ours does inside.
        for template in alone.values():
            template.render(context)
    return time.process_time() - began


def _same(templates: TemplateSet, alone: dict[str, Any], context: dict[str, Any]) -> None:
    ours = templates.render("order", "email", context).parts
    full = {**context, "trigger": {k: v for k, v in context["trigger"].items() if v is not None}}
    for part, template in alone.items():
        if template.render(full).strip() != ours[part].strip():
            raise AssertionError(f"the part {part} differs")
