"""The SMTP dialogue, against a real server."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels import Accepted, Brand, Message, Outcome, Rejected, Throttled, Unavailable, Unknown, create
from channels.message import Attachment
from channels.receipt import Reason
from channels.smtp import check_address, compose
from channels.testing.smtp_server import FakeSmtpServer, Mail

URL = "https://example.com/u/" + "Zm9vYmFy" * 30


def message(n: int = 0, **changes: Any) -> Message:
    values: dict[str, Any] = {
        "key": f"k{n}",
        "channel": "email",
        "address": f"mei{n}@example.net",
        "parts": {"subject": "Hello", "text": "Hello\n"},
        "template": "welcome",
        "at": datetime(2026, 11, 11, 10, 0, tzinfo=UTC),
    }
    return Message(**{**values, **changes})


async def send(server: FakeSmtpServer, *messages: Message, **settings: Any) -> list[Outcome]:
    fixed = {"host": "127.0.0.1", "port": server.port, "from": "hello@example.com", "tls": "none"}
    async with create("smtp", "email", {**fixed, "timeout": 0.5, **settings}) as adapter:
        return list(await adapter.send(messages))


async def deliver(**changes: Any) -> Mail:
    async with FakeSmtpServer() as server:
        [outcome] = await send(server, message(**changes))
        assert isinstance(outcome, Accepted), outcome
        return server.mails[0]


# --- content -----------------------------------------------------------------------------------------------


async def test_one_click_unsubscribe_headers_are_whole_and_unfolded() -> None:
    mail = await deliver(unsubscribe_url=URL)
    assert f"\r\nList-Unsubscribe: <{URL}>\r\n".encode() in mail.content
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in mail.content


async def test_no_unsubscribe_headers_without_an_address_for_them() -> None:
    assert b"List-Unsubscribe" not in (await deliver()).content


async def test_the_message_id_is_made_of_the_key_and_stays() -> None:
    first, second = [(await deliver(key="0b7c:step/1")).message["Message-ID"] for _ in range(2)]
    assert first == second
    assert first.endswith("@example.com>")
    assert (await deliver(key="plain-key.1")).message["Message-ID"] == "<plain-key.1@example.com>"
    long, longer = [(await deliver(key="x" * n)).message["Message-ID"] for n in (200, 201)]
    assert long != longer


async def test_text_and_html_are_alternatives() -> None:
    mail = (await deliver(parts={"subject": "茶", "text": "茶 text\n", "html": "<p>茶</p>"})).message
    assert mail["Subject"] == "茶"
    assert mail.get_content_type() == "multipart/alternative"
    assert [p.get_content_type() for p in mail.iter_parts()] == ["text/plain", "text/html"]
    assert [p.get_content().strip() for p in mail.iter_parts()] == ["茶 text", "<p>茶</p>"]


async def test_files_and_pictures_go_with_the_mail() -> None:
    parts = {"subject": "Hi", "text": "Hi\n", "html": "<img src='cid:logo.png'>"}
    carried = (
        Attachment("菜单.pdf", "application/pdf", b"%PDF"),
        Attachment("logo.png", "image/png", b"PNG", "logo.png"),
    )
    mail = (await deliver(parts=parts, attachments=carried)).message
    found = [(part.get_content_type(), part.get_filename(), part["Content-ID"]) for part in mail.walk()]
    assert found == [
        ("multipart/mixed", None, None),
        ("multipart/alternative", None, None),
        ("text/plain", None, None),
        ("multipart/related", None, None),
        ("text/html", None, None),
        ("image/png", "logo.png", "<logo.png>"),
        ("application/pdf", "菜单.pdf", None),
    ]


async def test_lines_that_begin_with_a_dot_arrive_whole() -> None:
    text = ".\n..two\n.three\nend\n.\n"
    mail = (await deliver(parts={"subject": "s", "text": text})).message
    assert mail.get_content().replace("\r\n", "\n") == text


async def test_a_long_subject_beyond_ascii_arrives_and_its_lines_are_short() -> None:
    subject = "南寻茶馆的春天来了" * 12
    mail = await deliver(parts={"subject": f"\n {subject} \n", "text": "t"})
    assert mail.message["Subject"] == subject
    assert max(len(line) for line in mail.content.split(b"\r\n")) < 200


async def test_the_sender_is_named_after_the_brand() -> None:
    assert (await deliver(brand=Brand("Nanxun, Tea"))).message["From"] == '"Nanxun, Tea" <hello@example.com>'


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": {"subject": "Hi\r\nBcc: all@example.net", "text": "t"}},
        {"parts": {"subject": "Hi\nthere", "text": "t"}},
        {"parts": {"text": "no subject"}},
        {"parts": {"subject": "no text"}},
        {"unsubscribe_url": "https://x.example/\r\nBcc: all@example.net"},
        {"headers": {"List-Id": "a\nBcc: b@example.net"}},
        {"headers": {"Bcc: b@example.net\r\nX": "y"}},
        {"headers": {"Subject": "twice"}},
        {"brand": Brand("Tea\r\nBcc: b@example.net")},
        {"attachments": (Attachment("a\r\nBcc: b@example.net", "text/plain", b""),)},
    ],
)
async def test_what_could_smuggle_in_a_header_is_rejected_and_not_sent(changes: dict[str, Any]) -> None:
    async with FakeSmtpServer() as server:
        [outcome] = await send(server, message(**changes))
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CONTENT
        assert server.mails == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "mei",
        "mei@",
        "@example.net",
        "a@b@example.net",
        "mei@example.net\r\nRCPT TO:<x@example.net>",
        "mei@example.net>,<x@example.net",
        "Mei <mei@example.net>",
        "a@ex..net",
    ],
)
async def test_what_is_no_address_is_rejected_before_any_dialogue(address: str) -> None:
    async with FakeSmtpServer() as server:
        [outcome] = await send(server, message(address=address))
        assert isinstance(outcome, Rejected)
        assert (outcome.reason, outcome.permanent) == (Reason.ADDRESS_INVALID, True)
        assert server.sessions == 0


def test_domains_beyond_ascii_are_written_in_ascii() -> None:
    assert check_address("mei@茶馆.example") == "mei@xn--cl1ay07b.example"


async def test_a_local_part_beyond_ascii_needs_a_server_that_takes_it() -> None:
    async with FakeSmtpServer() as server:
        [outcome] = await send(server, message(address="梅@example.net"))
        assert isinstance(outcome, Accepted)
        assert server.mails[0].recipients == ("梅@example.net",)
        assert "SMTPUTF8" in server.mails[0].options
    async with FakeSmtpServer(smtputf8=False) as server:
        [outcome] = await send(server, message(address="梅@example.net"))
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.ADDRESS_INVALID


def test_two_attempts_compose_the_same() -> None:
    first, second = (compose(message(), "mei@example.net", "a@example.com").as_bytes() for _ in range(2))
    assert first == second


# --- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "line", "expected"),
    [
        ("rcpt", "550 5.1.1 no such user", (Rejected, Reason.ADDRESS_UNKNOWN, True)),
        ("rcpt", "550 no such user", (Rejected, Reason.ADDRESS_UNKNOWN, True)),
        ("rcpt", "550 5.7.1 blocked", (Rejected, Reason.BLOCKED, False)),
        ("rcpt", "552 5.2.2 mailbox full", (Rejected, Reason.MAILBOX_FULL, False)),
        ("rcpt", "450 4.2.0 busy", (Unavailable, None, None)),
        ("rcpt", "450 4.7.1 greylisted", (Throttled, None, None)),
        ("mail", "550 5.7.8 log in first", (Rejected, Reason.CREDENTIALS, False)),
        ("mail", "421 4.3.2 shutting down", (Throttled, None, None)),
        ("mail", "421 too many", (Unavailable, None, None)),
        ("data", "451 4.3.0 no", (Unavailable, None, None)),
        ("message", "554 5.6.0 spam words", (Rejected, Reason.CONTENT, False)),
        ("message", "552 5.3.4 too big", (Rejected, Reason.TOO_LARGE, False)),
        ("message", "452 4.3.1 disk full", (Unavailable, None, None)),
        ("message", "421 4.7.0 slow down", (Throttled, None, None)),
    ],
)
async def test_what_an_answer_means(
    stage: Any, line: str, expected: tuple[type, Reason | None, bool | None]
) -> None:
    async with FakeSmtpServer() as server:
        server.behave(stage, line)
        [outcome] = await send(server, message())
        found = (type(outcome), getattr(outcome, "reason", None), getattr(outcome, "permanent", None))
        assert found == expected
        assert outcome.raw == line
        assert server.mails == []


@pytest.mark.parametrize("what", ["drop", "hang"])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
async def test_lost_before_the_message_is_unavailable(stage: Any, what: str) -> None:
    async with FakeSmtpServer() as server:
        server.behave(stage, what)
        [outcome] = await send(server, message())
        assert isinstance(outcome, Unavailable), outcome


@pytest.mark.parametrize("what", ["drop", "hang"])
async def test_lost_after_the_final_dot_is_unknown(what: str) -> None:
    async with FakeSmtpServer() as server:
        server.behave("message", what)
        [outcome] = await send(server, message())
        assert isinstance(outcome, Unknown), outcome
        assert len(server.mails) == 1


# --- sessions ----------------------------------------------------------------------------------------------


async def test_sessions_are_reused_also_after_a_refusal() -> None:
    async with FakeSmtpServer() as server:
        server.refuse["mei3@example.net"] = "550 5.1.1 no such user"
        outcomes = await send(server, *(message(n) for n in range(10)), connections=1)
        assert [isinstance(o, Accepted) for o in outcomes] == [n != 3 for n in range(10)]
        assert server.sessions == 1


async def test_no_more_sessions_than_allowed() -> None:
    async with FakeSmtpServer() as server:
        await send(server, *(message(n) for n in range(20)), connections=3)
        assert server.sessions <= 3
        assert len(server.mails) == 20


@pytest.mark.parametrize("how", ["cut", "421 4.4.2 idle too long"])
async def test_a_session_that_the_server_ended_while_idle_is_replaced(how: str) -> None:
    async with FakeSmtpServer() as server:
        settings = {"host": "127.0.0.1", "port": server.port, "from": "a@example.com", "tls": "none"}
        async with create("smtp", "email", settings) as adapter:
            await adapter.send([message(0)])
            if how == "cut":
                server.kick()
            else:
                server.behave("mail", how)
            assert [type(o) for o in await adapter.send([message(1)])] == [Accepted]
            assert server.sessions == 2


# --- protection --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -subj /CN=localhost -addext {names} -keyout {key} -out {cert}".split(),
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_protected_sessions_with_login(tls: str, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with FakeSmtpServer(
        tls=context, implicit_tls=tls == "tls", login=("u", "right-password")
    ) as server:
        login = {"tls": tls, "username": "u", "password": "right-password", "timeout": 3}
        [outcome] = await send(server, message(), ca_file=str(certificate[0]), **login)
        assert isinstance(outcome, Accepted), outcome
        # A certificate that nobody vouches for: nothing is sent.
        [outcome] = await send(server, message(1), **login)
        assert isinstance(outcome, Unavailable)
        assert len(server.mails) == 1


async def test_a_server_without_starttls_gets_nothing() -> None:
    async with FakeSmtpServer() as server:
        [outcome] = await send(server, message(), tls="starttls")
        assert not isinstance(outcome, Accepted | Unknown)
        assert server.mails == []


async def test_a_wrong_password_is_rejected_for_its_credentials() -> None:
    async with FakeSmtpServer(login=("u", "right-password")) as server:
        [outcome] = await send(server, message(), username="u", password="wrong-password")
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.CREDENTIALS
        assert not outcome.permanent
