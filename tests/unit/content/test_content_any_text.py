"""Whatever stands in a template file: a list of problems, a message or a `RenderError`."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.content import RenderError, TemplateScope, TemplateSet, check_message

WORDS = (
    "{{ }} {% %} {# #} {%- -%} if else endif for in endfor set = endset macro endmacro f() trigger.a | upper "
    "default('x') tojson ~ + * ** ( ) [ ] 9999999 'a' none loop.index range(99999999) call endcall raw"
)
pieces = st.lists(st.sampled_from([*WORDS.split(), "\n", "é", '"']), max_size=14).map(" ".join)
wholes = st.lists(
    st.sampled_from(
        [
            "{{ trigger.a }}",
            "{{ trigger.a * 99 }}",
            "{{ trigger.b | join('-') ~ 1 }}",
            "{% if trigger.a %}",
            "{% endif %}",
            "{% for i in range(99) %}",
            "{% for i in trigger.b %}",
            "{% endfor %}",
            "{% set x %}",
            "{% endset %}",
            "{% macro f(n) %}",
            "{% endmacro %}",
            "{{ f(1) }}",
            "{% call f(1) %}",
            "{% endcall %}",
            '{"a": ',
            "}",
        ]
    ),
    max_size=10,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(pieces | wholes | st.text(max_size=30), st.sampled_from(["sms.text", "email.html", "webhook.json"]))
def test_any_template_is_checked_and_rendered_or_refused(source: str, name: str) -> None:
    assume("None" not in source)
    channel, _ = name.split(".")
    templates = TemplateSet({f"templates/m/{name}.j2": source})
    problems = check_message(templates, "m", channel, TemplateScope(trigger={"a": "text", "b": "list"}))
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
    try:
        rendered = templates.render("m", channel, {"trigger": {"a": "x", "b": [1, None, "y"]}})
    except RenderError:
        return
    assert "None" not in "".join(rendered.parts.values())
