"""Advertising audiences and routes of channels, as journeys and `kairos.yaml` say them."""

from __future__ import annotations

import pytest

from engine.core.describe import step as described
from engine.core.plan import Effect
from engine.language.installation import ChannelSettings, Provider, RouteSettings
from engine.language.project import Project, check_project
from engine.simulator.suite import run_suite

KAIROS = """\
version: 1
audiences:
  vip: {adapter: file_drop, settings: {folder: "${DROP}"}}
channels:
  email: {adapter: smtp, settings: {host: localhost}}
  sms:
    rate: 10/s
    routes:
      - {adapter: aliyun_sms, where: {region: [CN], locale: [zh]}, share: 70, cost: 0.045,
         settings: {sign_name: T}}
      - {name: second, adapter: twilio}
"""
JOURNEY = """\
journey: show
trigger: {event: order.paid}
steps:
  - {id: on, ad_audience: STEP}
"""


def project(step: str = "{add_to: vip}", kairos: str = KAIROS, **more: str) -> Project:
    return check_project(
        {
            "kairos.yaml": kairos,
            "journeys/catalog.yaml": "events:\n  order.paid:\n",
            "journeys/show.yaml": JOURNEY.replace("STEP", step),
            **more,
        }
    )


@pytest.mark.parametrize(
    ("step", "spec", "words"),
    [
        ("{add_to: vip}", {"add_to": "vip"}, "adds to the audience vip"),
        ("{remove_from: vip}", {"remove_from": "vip"}, "removes from the audience vip"),
    ],
)
def test_a_step_names_one_audience(step: str, spec: dict[str, str], words: str) -> None:
    found = project(step)
    assert not found.diagnostics
    compiled = found.plans["show"].steps["on"]
    assert isinstance(compiled, Effect)
    assert (compiled.verb, compiled.spec, described(compiled)) == ("ad_audience", spec, words)


@pytest.mark.parametrize(
    ("step", "code", "text"),
    [
        ("{add_to: vpi}", "J340", "unknown audience `vpi`"),
        ("{add_to: vip, remove_from: vip}", "J210", "add_to"),
        ("{}", "J210", "add_to"),
        ("{onto: vip}", "J201", "onto"),
    ],
)
def test_what_is_wrong_with_a_step_is_told(step: str, code: str, text: str) -> None:
    [mistake, *_] = project(step).errors
    assert (mistake.code, text in mistake.message + str(mistake.expected)) == (code, True), mistake
    if code == "J340":
        assert "vip" in (mistake.hint or "")


def test_without_any_audience_the_step_says_where_they_are_declared() -> None:
    [mistake] = project(kairos="version: 1\n").errors
    assert mistake.code == "J340"
    assert "`audiences`" in (mistake.hint or "")


def test_a_token_that_is_written_out_is_an_error() -> None:
    kairos = "audiences: {vip: {adapter: meta_audience, settings: {access_token: abc}}}\n"
    assert [each.code for each in project(kairos=kairos).errors] == ["J215"]


def test_routes_are_read_with_their_rules() -> None:
    installation = project().installation
    assert installation.channel("sms").routes == (
        RouteSettings("aliyun_sms", "aliyun_sms", {"sign_name": "T"}, ("zh",), ("CN",), 70.0, 0.045),
        RouteSettings("second", "twilio"),
    )
    assert installation.providers() == [
        Provider("email", None, "smtp", {"host": "localhost"}),
        Provider("sms", "aliyun_sms", "aliyun_sms", {"sign_name": "T"}),
        Provider("sms", "second", "twilio", {}),
    ]


@pytest.mark.parametrize(
    ("sms", "code"),
    [
        ("{adapter: outbox, routes: [{adapter: outbox}]}", "J341"),
        ("{settings: {}, routes: [{adapter: outbox}]}", "J341"),
        ("{routes: [{adapter: outbox, share: 80}, {name: b, adapter: outbox, share: 30}]}", "J342"),
        ("{routes: [{adapter: outbox}, {adapter: outbox}]}", "J319"),
        ("{routes: []}", "J214"),
        ("{routes: [{name: a}]}", "J202"),
        ("{routes: [{adapter: twilio, settings: {auth_token: abc}}]}", "J215"),
        ("{routes: [{adapter: outbox, where: {}}]}", "J202"),
        ("{routes: [{adapter: outbox, where: {region: [Germany]}}]}", "J221"),
        ("{routes: [{adapter: outbox, cost: -1}]}", "J218"),
    ],
)
def test_what_is_wrong_with_routes_is_told(sms: str, code: str) -> None:
    kairos = f"channels: {{sms: {sms}}}\naudiences: {{vip: {{adapter: file_drop}}}}\n"
    assert code in [each.code for each in project(kairos=kairos).errors]


SCENARIO = """\
journey: show
scenarios:
  - name: goes on at once
    profile: {external_id: c1}
    script: [{event: {name: order.paid}}]
    expect: {steps: [on], exit: completed}
  - name: the holdout is walked
    profile: {external_id: c2}
    holdout: true
    script: [{event: {name: order.paid}}]
    expect: {steps: [on], exit: completed}
"""


def test_scenarios_play_it() -> None:
    found = project(**{"journeys/tests/show.test.yaml": SCENARIO})
    assert not found.errors
    assert [each.passed for each in run_suite(found).results] == [True, True]


def test_the_signature_of_texts_is_that_of_the_provider() -> None:
    routes = (RouteSettings("abroad", "twilio"), RouteSettings("cn", "aliyun_sms", {"sign_name": "Tea"}))
    routed = ChannelSettings(routes=routes)
    assert [routed.signature(each) for each in ("abroad", "cn", None)] == ["", "【Tea】", "【Tea】"]
    assert ChannelSettings("aliyun_sms", settings={"sign_name": "Tea"}).signature() == "【Tea】"
