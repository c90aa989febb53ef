"""Whatever a message says: only links change, they can be told apart again, and a repeat gives the same."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from engine.content.links import Link, replace_links
from engine.customers.link_tokens import About, LinkKey, base62

_MARK = re.compile("https://go/([0-9]+)")
URLS = st.from_regex(
    r"https?://[a-z]{1,8}\.(cn|com)(/[a-z0-9%._~-]{0,9}){0,3}(\?[a-z]=[0-9]{1,3})?", fullmatch=True
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda text: "go/" not in text)
TEXTS = st.lists(st.one_of(WORDS, URLS.map(lambda url: f" {url} ")), max_size=8).map("".join)
HTML = st.lists(
    st.one_of(
        WORDS,
        URLS.map(lambda url: f'<a href="{url}">x</a>'),
        st.sampled_from(["<!--", "-->", "<a ", "'", '"', ">", "<style>", "</style>", "<a href="]),
    ),
    max_size=10,
).map("".join)


def replaced(part: str, text: str) -> tuple[str, list[str]]:
    found: list[str] = []

    def number(link: Link) -> str:
        found.append(link.url)
        return f"https://go/{len(found) - 1}"

    return replace_links({part: text}, number)[part], found


@given(TEXTS)
def test_putting_the_addresses_back_gives_the_text_back(text: str) -> None:
    done, found = replaced("text", text)
    assert _MARK.sub(lambda match: found[int(match[1])], done) == text


@given(WORDS.filter(lambda text: "://" not in text), st.sampled_from(["text", "html", "json"]))
def test_what_holds_no_address_is_unchanged(text: str, part: str) -> None:
    assert replaced(part, text) == (text, [])


@given(HTML)
def test_of_html_only_addresses_change_and_again_the_same_ones(text: str) -> None:
    done, found = replaced("html", text)
    assert len(_MARK.findall(done)) == len(found)
    rest = re.sub(r'"https://go/[0-9]+"', "", done)
    place = 0
    for piece in re.split(r'"https://go/[0-9]+"', done):
        place = text.index(piece, place) + len(piece)  # in order, and nothing lost between
    assert len(rest) <= len(text)
    assert replaced("html", done)[1] == [f"https://go/{number}" for number in range(len(found))]


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), WORDS, URLS),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.sampled_from(["url", "text", "picurl", "name", "jump_url"]), inner, max_size=4
            ),
        ),
        max_leaves=12,
    )
)
def test_json_stays_json_of_the_same_form(document: object) -> None:
    text = json.dumps(document, ensure_ascii=False)
    done, found = replaced("json", text)
    if not found:
        assert done == text
    back = _MARK.sub(lambda match: json.dumps(found[int(match[1])])[1:-1], done)
    assert json.loads(back) == document


def key(secret: bytes = b"s" * 32) -> LinkKey:
    made = LinkKey()
    made._secret = secret
    return made


NAMES = st.from_regex(r"[a-z][a-z_-]{0,20}", fullmatch=True)


@given(st.uuids(), NAMES, st.one_of(st.just("*"), NAMES))
def test_a_token_says_what_it_is_about_and_the_same_every_time(
    profile: object, channel: str, purpose: str
) -> None:
    about = About(str(profile), channel, purpose)
    token = key().token(about)
    assert key().read(token) == about
    assert key().token(about) == token
    assert key(b"t" * 32).read(token) is None


@given(st.uuids(), st.data())
def test_a_token_with_one_character_changed_is_none(profile: object, data: st.DataObject) -> None:
    token = key().token(About(str(profile), "email"))
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCabc012-_=+/ é").filter(lambda letter: letter != token[place]))
    assert key().read(token[:place] + other + token[place + 1 :]) is None


@given(st.text(max_size=400))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    assert key().read(text) is None


@given(st.binary(min_size=32, max_size=32))
def test_codes_are_digits_and_letters(data: bytes) -> None:
    assert re.fullmatch(r"[0-9A-Za-z]{12}", base62(data, 12))
