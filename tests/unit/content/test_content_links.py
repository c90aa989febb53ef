"""Links are found where people follow them, and nothing else is touched."""

from __future__ import annotations

import pytest

from engine.content import RenderError, TemplateSet
from engine.content.linking import Naming, filled, sample_links, with_parameters, with_pixel
from engine.content.links import MOST_LINKS, Link, replace_links


def replaced(part: str, text: str, names: dict[str, str] | None = None) -> tuple[str, list[Link]]:
    found: list[Link] = []

    def number(link: Link) -> str:
        found.append(link)
        return f"https://go/{len(found)}"

    return replace_links({part: text}, number, names)[part], found


def urls(part: str, text: str) -> list[str]:
    return [link.url for link in replaced(part, text)[1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("看看https://a.cn/x?y=1。好", "看看https://go/1。好"),
        ("（https://a.cn/茶）", "（https://go/1茶）"),
        ("Go to http://a.cn.", "Go to https://go/1."),
        ("(see https://a.cn/b_(c))", "(see https://go/1)"),
        ("https://a.cn/x，https://b.cn/y！", "https://go/1，https://go/2！"),
        ("HTTPS://A.CN/x", "https://go/1"),
        ("mailto:a@b.c ftp://a.cn xhttp://a.cn https:// https://?x", None),
        ("no link at all: 5 http", None),
    ],
)
def test_addresses_in_texts_end_where_the_sentence_goes_on(text: str, expected: str | None) -> None:
    assert replaced("text", text)[0] == (text if expected is None else expected)


def test_only_what_people_click_in_html_is_a_link() -> None:
    html = (
        "<style>a{background:url(https://no/1)}</style><script>'<a href=\"https://no/2\">'</script>"
        '<!-- <a href="https://no/3"> --><link href="https://no/4"><img src="https://no/5">'
        '<a data-href="https://no/6" href="#top">x</a><a href="mailto:a@b.c">m</a>https://no/7'
        "<A class=x HREF='https://yes/1?a=1&amp;b=2'>y</A><area href=https://yes/2 alt=\"\">"
        '<a title="> href=" href = "https://yes/3" data-link="offer &amp; more">z</a>'
    )
    text, links = replaced("html", html)
    assert links == [
        Link("https://yes/1?a=1&b=2"),
        Link("https://yes/2"),
        Link("https://yes/3", "offer & more"),
    ]
    for number, old in enumerate(("'https://yes/1?a=1&amp;b=2'", "https://yes/2", '"https://yes/3"'), 1):
        html = html.replace(old, f'"https://go/{number}"')
    assert text == html


@pytest.mark.parametrize("html", ["<a href='https://a.cn", "<!-- <a href='https://a.cn'>", "<script><a href"])
def test_html_that_is_never_closed_stays_as_it_is(html: str) -> None:
    assert replaced("html", html) == (html, [])


def test_html_made_to_be_slow_is_not() -> None:
    # A scan that went back to each beginning would take hours, and this test its time-out.
    for piece in ("<a ", '<a "', "<a '\"", "<!--", "<script", "<a href=https://a.cn "):
        long = "://" + piece * (200_000 // len(piece))
        assert replaced("html", long) == (long, [])


def test_fields_of_providers_that_lead_somewhere_are_links() -> None:
    document = (
        '{"url": "https:\\/\\/a.cn", "picurl": "https://no/1", "jump_url": "https://b.cn",'
        ' "image_url": "https://no/2", "text": {"content": "见 <a href=\\"https://c.cn\\">此</a>"},'
        ' "articles": [{"url": "https://d.cn", "title": "https://no/3"}], "link": "pages/index"}'
    )
    assert urls("json", document) == ["https://a.cn", "https://b.cn", "https://c.cn", "https://d.cn"]


@pytest.mark.parametrize("part", ["subject", "title", "body"])
def test_parts_that_cannot_be_clicked_stay_as_they_are(part: str) -> None:
    assert replaced(part, "https://a.cn") == ("https://a.cn", [])


def test_a_part_that_is_a_link_as_a_whole_is_one() -> None:
    assert replaced("url", " https://a.cn/x ")[0] == "https://go/1"
    assert replaced("link", "app://x https://a.cn")[0] == "app://x https://a.cn"


def test_no_message_has_links_without_end() -> None:
    text = " ".join(f"https://a.cn/{number}" for number in range(MOST_LINKS + 5))
    done, links = replaced("text", text)
    assert len(links) == MOST_LINKS
    assert done.endswith(f"https://a.cn/{MOST_LINKS + 4}")


def test_links_are_named_by_their_author() -> None:
    files = {
        "templates/m/email.subject.j2": "s",
        "templates/m/email.text.j2": "{{ links.to('https://a.cn?x=' ~ trigger.n, name='offer') }}",
        "templates/m/email.html.j2": "<a href=\"{{ links.to('https://a.cn?a=1&b=2', 'two') }}\">x</a>",
    }
    naming = Naming()
    links = {**sample_links("https://go.cn"), "to": naming.to}
    parts = TemplateSet(files).render("m", "email", {"trigger": {"n": 5}, "links": links}).parts
    assert parts["text"] == "https://a.cn?x=5"
    found: list[Link] = []
    replace_links(parts, lambda link: found.append(link), naming.names)
    assert {link.url: link.name for link in found} == {
        "https://a.cn?x=5": "offer",
        "https://a.cn?a=1&b=2": "two",
    }


def test_nothing_else_of_links_can_be_called() -> None:
    files = {"templates/m/sms.text.j2": "{{ links.to.__self__.names.clear() }}"}
    with pytest.raises(RenderError):
        TemplateSet(files).render("m", "sms", {"links": sample_links("https://go.cn")})


def test_without_an_address_of_ours_the_ways_out_are_null() -> None:
    files = {
        "templates/m/sms.text.j2": "{{ links.unsubscribe | default('R') }} {{ links.to('https://a.cn') }}"
    }
    assert TemplateSet(files).render("m", "sms", {"links": sample_links(None)}).parts["text"] == (
        "R https://a.cn"
    )
    strict = {"templates/m/sms.text.j2": "{{ links.preferences }}"}
    with pytest.raises(RenderError):
        TemplateSet(strict).render("m", "sms", {"links": sample_links(None)})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.cn", "https://a.cn?utm_source=k+1&utm_medium=sms"),
        ("https://a.cn/?b=%20#top", "https://a.cn/?b=%20&utm_source=k+1&utm_medium=sms#top"),
        ("https://a.cn?utm_source=own&", "https://a.cn?utm_source=own&utm_medium=sms"),
        ("https://a.cn?utm_medium&utm_source", "https://a.cn?utm_medium&utm_source"),
        ("https://a.cn#?x=1", "https://a.cn?utm_source=k+1&utm_medium=sms#?x=1"),
    ],
)
def test_parameters_are_added_and_those_there_are_kept(url: str, expected: str) -> None:
    assert with_parameters(url, {"utm_source": "k 1", "utm_medium": "sms"}) == expected


def test_patterns_are_filled_in() -> None:
    assert filled("{journey}-{step}-{x}", {"journey": "{step}", "step": "s"}) == "{step}-s-{x}"


def test_the_pixel_stands_at_the_end_of_the_body() -> None:
    pixel = '<img src="https://o" width="1" height="1" alt="" style="display:none">'
    assert with_pixel({"html": "İ<body>x</BODY ></html>"}, "https://o")["html"] == (
        f"İ<body>x{pixel}</BODY ></html>"
    )
    assert with_pixel({"html": "x", "text": "t"}, "https://o") == {"html": f"x{pixel}", "text": "t"}
    assert with_pixel({"text": "t"}, "https://o") == {"text": "t"}
