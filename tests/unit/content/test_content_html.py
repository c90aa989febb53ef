"""E-mail: style sheets written into the elements, and the text part made of HTML."""

from __future__ import annotations

from typing import Any

import pytest

from engine.content import Folder, TemplateSet
from engine.content.plain_text import text_of_html


def mail(html: str, **context: Any) -> dict[str, str]:
    return templates(html).render("m", "email", context).parts


def templates(html: str, **more: str) -> TemplateSet:
    files = {"templates/m/email.subject.j2": "Hi", "templates/m/email.html.j2": html}
    return TemplateSet({**files, **more})


def once(html: str) -> bool:
    """Whether its styles are written in once, on the template."""
    return templates(html).made("m", "email", Folder())["html"].why is None


STYLE = "<style>td {color: red} .a {margin: 0} @media print {.a {width: 9px}}</style>"


def test_styles_are_written_into_the_elements_around_loops_and_values() -> None:
    html = STYLE + (
        "<table>{% for i in trigger.some %}<tr class='a'><td>{{ i }}</td></tr>{% endfor %}</table>"
        "<a href='{{ trigger.url }}?a=1&amp;b=2' style='padding: {{ trigger.pad }}px'>x</a>"
    )
    assert once(html)
    done = mail(html, trigger={"some": ["<1>", 2], "url": "https://e.com/", "pad": 4})["html"]
    assert done.count('<tr class="a" style="margin: 0;"><td style="color: red;">') == 2
    assert "&lt;1&gt;" in done
    assert 'href="https://e.com/?a=1&amp;b=2"' in done
    assert "padding: 4px" in done
    assert "@media print" in done
    assert "<tbody>" not in done


@pytest.mark.parametrize(
    "html",
    [
        "<p class='{{ trigger.c }}'>x</p>",
        "<p {% if trigger.c %}class='a'{% endif %}>x</p>",
        "{% if not trigger.c %}<div>{% else %}<div class='a'>{% endif %}x</div><p>y</p>",
        "<style>{% if trigger.c %}p {color: red}{% endif %}</style><p>x</p>",
        "<style>li:first-child {color: red}</style>{% for i in [1, 2] %}<li>{{ i }}</li>{% endfor %}",
    ],
)
def test_where_styles_depend_on_the_customer_each_message_gets_its_own(html: str) -> None:
    html = f"{STYLE}<style>p {{color: blue}}</style>{html}"
    assert not once(html)
    done = mail(html, trigger={"c": "a"})["html"]
    assert "<style>" not in done.replace("<style>@media", "")
    assert "style=" in done


def test_a_message_without_a_style_sheet_stays_as_it_is_written() -> None:
    html = "<p class=a>Hi <br/>{{ trigger.n }}"
    assert mail(html, trigger={"n": 1})["html"] == "<p class=a>Hi <br/>1"


def test_no_style_sheet_is_fetched_from_elsewhere() -> None:
    html = "<link rel='stylesheet' href='/etc/hostname'><style>p {color: red}</style><p>x</p>"
    assert '<p style="color: red;">x</p>' in mail(html)["html"]


def test_what_looks_like_jinja_in_html_stays_text() -> None:
    html = "<style>p {color: red}</style><p>&#123;&#123; x }} {% raw %}{{ y }}{% endraw %}</p>"
    assert '<p style="color: red;">{{ x }} {{ y }}</p>' in mail(html)["html"]
    assert mail(html)["text"] == "{{ x }} {{ y }}"


def test_the_text_part_is_made_of_the_html_with_its_loops() -> None:
    html = (
        "<html><head><title>T</title></head><body><h1>Hi {{ trigger.n }}</h1>"
        "{# a note #}<p>Your   tea:</p><ul>{% for i in trigger.some %}<li>{{ i }}</li>{% endfor %}</ul>"
        "{% if trigger.note %}<p>Note: {{ trigger.note }}</p>{% endif %}"
        "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"
        "<p>See <a href='https://e.com/{{ trigger.n }}'>the shop</a><br>or <b>call</b>.</p>"
        "<img src='x' alt='A cup'><div style='display:none'>unseen</div></body></html>"
    )
    text = mail(html, trigger={"n": "Li & Co", "some": ["one", "two"]})["text"]
    assert text == (
        "Hi Li & Co\n\nYour tea:\n\n- one\n- two\n\na b\nc\n\n"
        "See the shop (https://e.com/Li & Co)\nor call.\n\nA cup"
    )


def test_the_text_of_a_message_is_its_own_where_it_has_one() -> None:
    found = templates("<p>x</p>", **{"templates/m/email.text.j2": "mine"})
    assert found.render("m", "email", {}).parts["text"] == "mine"


def test_a_text_that_cannot_be_made_once_is_made_of_each_message() -> None:
    html = "<p title='{% if trigger.n %}'>x</p><p title='{% endif %}'>y</p>"
    assert mail(html, trigger={"n": 1})["text"] == "x\n\ny"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("a < b & c", "a < b & c"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("a<br><br><br>b", "a\n\nb"),
        ("<a href='https://e.com'>https://e.com</a>", "https://e.com"),
        ("<a href='#top'>up</a>", "up"),
        ("<script>x</script>y", "y"),
        ("<p>a", "a"),
        ("x<hr>y", "x\n\n---\n\ny"),
    ],
)
def test_html_as_text(html: str, text: str) -> None:
    assert text_of_html(html) == text


def test_the_digest_stays_that_of_the_sources() -> None:
    assert templates("<p>x</p>").digest("m", "email") != templates("<p>y</p>").digest("m", "email")
