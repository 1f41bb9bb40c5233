"""Commands reach the station, and their answers the page."""

import datetime as dt
from typing import Any

import pytest
from brokers import until
from dashboards import NodeRed, show
from fake_station import Station
from playwright.sync_api import Page, expect

FOLDER = "/var/lib/edge-inspector/press-1/collected/flange-20260101-120000"


@pytest.fixture
def control_page(page: Page, dashboard: NodeRed, station: Station) -> Page:
    """The control page, showing this test's station."""
    return show(page, dashboard, station, "control")


def heard(station: Station, command: str) -> dict[str, Any]:
    """Wait until the station hears `command` and return its envelope."""
    return until(lambda: next((envelope for name, envelope in station.heard if name == command), {}), command)


def answer(station: Station, command: str, status: str, reason: str = "") -> None:
    """Answer a command as the daemon does."""
    correlation = heard(station, command)["correlation_id"]
    ack = {"schema_version": 1, "command": command, "correlation_id": correlation, "status": status, "reason": reason}
    station.send("ack", ack)


def test_a_command_reaches_the_station_with_its_envelope(control_page: Page, station: Station) -> None:
    """The station learns what, from whom, under which number and until when."""
    control_page.get_by_test_id("by").fill("Maria")
    control_page.get_by_test_id("by").blur()
    before = dt.datetime.now(dt.UTC)
    control_page.get_by_test_id("command-trigger").click()
    envelope = heard(station, "trigger")
    sent = dt.datetime.fromisoformat(envelope["expires"]) - dt.timedelta(seconds=10)

    assert set(envelope) == {"correlation_id", "by", "args", "expires"}
    assert envelope["by"] == "Maria"
    assert envelope["args"] == {}
    assert before - dt.timedelta(milliseconds=1) <= sent <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize(
    ("status", "reason", "shown"),
    [
        ("done", "", "done"),
        ("accepted", "", "accepted"),
        ("rejected", "the source is away", "refused: the source is away"),
        ("expired", "", "came too late"),
    ],
)
def test_the_answer_to_a_command_is_shown(
    control_page: Page, station: Station, status: str, reason: str, shown: str
) -> None:
    """The operator sees whether it was done, and when not, why."""
    control_page.get_by_test_id("command-trigger").click()
    expect(control_page.get_by_test_id("answer").first).to_contain_text("waiting for an answer")
    answer(station, "trigger", status, reason)

    expect(control_page.get_by_test_id("answer").first).to_contain_text(shown)


def test_a_command_that_nobody_answers_says_so(control_page: Page) -> None:
    """Silence is not taken for yes."""
    control_page.get_by_test_id("command-trigger").click()

    expect(control_page.get_by_test_id("answer").first).to_contain_text("no answer")


def test_a_part_change_wants_two_touches(control_page: Page, station: Station) -> None:
    """One touch asks, the second sends; the active part cannot be chosen again."""
    bracket = control_page.get_by_test_id("part").filter(has_text="bracket")
    expect(control_page.get_by_test_id("part").filter(has_text="flange")).to_be_disabled()
    bracket.click()
    expect(bracket).to_contain_text("Tap again")
    assert station.heard == []
    bracket.click()

    assert heard(station, "part")["args"] == {"part": "bracket"}


def test_pause_becomes_resume(control_page: Page, station: Station) -> None:
    """A paused station offers to go on, and says on every page that it is paused."""
    station.health("PAUSED")
    control_page.get_by_test_id("command-resume").click()

    heard(station, "resume")
    expect(control_page.get_by_test_id("notice")).to_contain_text("Paused")


@pytest.mark.parametrize(("button", "agree"), [("agree", True), ("disagree", False)])
def test_the_operator_may_disagree_with_the_last_rejection(
    control_page: Page,
    station: Station,
    button: str,
    agree: bool,  # noqa: FBT001
) -> None:
    """The opinion goes out with the id of the part whose image was shown."""
    part = station.part("NG", ((600, 400, 80, 40),))
    station.part("OK")
    expect(control_page.get_by_test_id("rejected")).to_have_attribute("data-id", part["id"])
    control_page.get_by_test_id(button).click()

    assert heard(station, "feedback")["args"] == {"id": part["id"], "agree": agree}
    answer(station, "feedback", "done")
    expect(control_page.get_by_test_id("opinion")).to_contain_text("done")


def test_a_station_that_is_away_gets_no_command(control_page: Page, station: Station) -> None:
    """Nothing is sent that might be done later."""
    station.drop()

    expect(control_page.get_by_test_id("command-trigger")).to_be_disabled()


def test_only_known_commands_leave_a_tampered_page(control_page: Page, station: Station) -> None:
    """A page that was tampered with cannot publish where it likes."""
    send = """message => document.querySelector('#app').__vue_app__._context.provides.$socket
        .emit('widget-action', 'ei_page_control', { payload: { kind: 'command', ...message } })"""
    for command in ("../../other/cmd/trigger", "trigger/#", "reboot", "__proto__", ""):
        control_page.evaluate(send, {"station": station.name, "command": command})
    control_page.evaluate(send, {"station": "nobody", "command": "trigger"})
    control_page.evaluate(send, {"station": station.name, "command": "trigger", "args": {"extra": 1}, "by": "x" * 400})

    envelope = heard(station, "trigger")
    assert [name for name, _ in station.heard] == ["trigger"]
    assert envelope["args"] == {}
    assert envelope["by"] == "x" * 40


def test_a_challenge_part_is_announced_and_monitor_mode_has_an_end(control_page: Page, station: Station) -> None:
    """Both want a second touch; the end of monitor mode is in the command."""
    for button in ("command-challenge", "command-monitor"):
        control_page.get_by_test_id(button).click()
        control_page.get_by_test_id(button).click()

    assert heard(station, "challenge")["args"] == {}
    assert heard(station, "monitor")["args"] == {"minutes": 60}

    station.heard.clear()
    station.health(monitor={"by": "Maria", "since": "2026-01-01T00:00:00.000Z", "until": "2026-01-01T01:00:00.000Z"})
    expect(control_page.get_by_test_id("command-monitor")).to_contain_text("End it")
    control_page.get_by_test_id("command-monitor").click()
    control_page.get_by_test_id("command-monitor").click()

    assert heard(station, "monitor")["args"] == {"minutes": 0}


def test_images_are_asked_for_with_what_was_filled_in(control_page: Page, station: Station) -> None:
    """What is left empty is the station's own choice."""
    control_page.get_by_test_id("collect").click()
    assert heard(station, "collect")["args"] == {"count": 50}

    station.heard.clear()
    for field, value in (("count", "12"), ("part", "flange-b"), ("serial", "S 7"), ("group", "shift-2")):
        control_page.get_by_test_id(f"collect-{field}").fill(value)
    control_page.get_by_test_id("collect").click()

    assert heard(station, "collect")["args"] == {"count": 12, "part": "flange-b", "serial": "S 7", "group": "shift-2"}


@pytest.mark.parametrize("count", ["", "0", "2001", "1.5"])
def test_a_number_of_images_that_is_none_is_not_sent(control_page: Page, station: Station, count: str) -> None:
    """0 would end what another operator has begun."""
    control_page.get_by_test_id("collect-count").fill(count)
    control_page.get_by_test_id("collect").click()
    control_page.get_by_test_id("command-trigger").click()
    heard(station, "trigger")

    assert [name for name, _ in station.heard] == ["trigger"]


def test_each_image_is_told_to_whoever_stands_at_the_camera(control_page: Page, station: Station) -> None:
    """How many, how sharp, how bright, what to mend; and at the end what to do with them."""
    station.collection(taken=12, last={"sharpness": 0.43, "brightness": 88.4, "flaws": ["blurred", "too_bright"]})
    expect(control_page.get_by_test_id("collected")).to_have_text("12 of 50")
    expect(control_page.get_by_test_id("sharpness")).to_have_text("43 % of the best")
    expect(control_page.get_by_test_id("brightness")).to_have_text("88 of 255")
    expect(control_page.get_by_test_id("flaw")).to_have_text(
        ["Blurred: check focus and motion", "Too bright: 7 % is white"]
    )
    expect(control_page.get_by_test_id("collect")).to_have_count(0)
    control_page.get_by_test_id("collect-end").click()
    assert heard(station, "collect")["args"] == {"count": 0}

    station.collection("complete", taken=50, not_ok=2, passed_over=1)
    expect(control_page.get_by_test_id("next")).to_have_text(
        f"edge-inspector train {FOLDER} --part flange --out bundles/flange"
    )
    expect(control_page.get_by_test_id("not-ok")).to_contain_text("2 were not OK")
    expect(control_page.get_by_test_id("passed-over")).to_contain_text("Parts not taken: 1")
    expect(control_page.get_by_test_id("collect")).to_be_enabled()


def test_what_is_to_be_pasted_is_quoted(control_page: Page, station: Station) -> None:
    """Who may send a command shall not write on whoever's command line; each view is trained by itself."""
    station.collection("complete", taken=2, part="a;b'c", views=["top", "si`de"])

    expect(control_page.get_by_test_id("next")).to_have_text(
        [
            rf"edge-inspector train {FOLDER}/top --part 'a;b'\''c' --out 'bundles/a;b'\''c-top'",
            rf"edge-inspector train '{FOLDER}/si`de' --part 'a;b'\''c' --out 'bundles/a;b'\''c-si`de'",
        ]
    )


def test_a_part_that_is_new_is_named_while_it_is_collected(control_page: Page, station: Station) -> None:
    """Whatever comes is taken as it; an image that is sharp may still be of a part that did not come out OK."""
    station.collection(part="flange-b", is_new=True, taken=1, last={"verdict": "NG"})

    expect(control_page.get_by_test_id("new-part")).to_contain_text(
        "every flange that arrives is collected under that name"
    )
    expect(control_page.locator(".collect .chip")).to_have_text("NG")


def test_why_images_are_no_longer_collected_is_shown(control_page: Page, station: Station) -> None:
    """And a station that collected nothing since its start shows nothing."""
    station.collection("failed", detail="12 MB of disk free, less than 2000 MB")
    expect(control_page.locator(".collect .how")).to_contain_text("Failed: 12 MB of disk free, less than 2000 MB")
    station.collection("none")
    expect(control_page.locator(".collect .how")).to_have_count(0)
