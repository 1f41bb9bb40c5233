"""Alarms: what is wrong, since when, and what was."""

import pytest
from dashboards import NodeRed, show
from fake_station import Station
from playwright.sync_api import Page, expect


@pytest.fixture
def alarms_page(page: Page, dashboard: NodeRed, station: Station) -> Page:
    """The alarms page, showing this test's station."""
    return show(page, dashboard, station, "alarms")


def raise_alarm(station: Station, code: str, message: str, *, active: bool, codes: list[str]) -> None:
    """Publish an event and the list of active codes, as the daemon does."""
    event = {
        "schema_version": 1,
        "code": code,
        "severity": "error",
        "active": active,
        "message": message,
        "since": station.since,
    }
    station.send("event", event)
    station.send("alarms", {"schema_version": 1, "active": codes}, retain=True)


def test_an_alarm_is_shown_until_it_is_cleared(alarms_page: Page, station: Station) -> None:
    """Active above, with its message, counted on every page; then past, with both times."""
    raise_alarm(station, "source_away", "the folder cannot be read", active=True, codes=["source_away"])
    expect(alarms_page.get_by_test_id("alarm")).to_contain_text("the folder cannot be read")
    expect(alarms_page.locator(".ei-nav b")).to_have_text("1")
    raise_alarm(station, "source_away", "the folder is back", active=False, codes=[])

    expect(alarms_page.get_by_test_id("alarm")).to_have_count(0)
    expect(alarms_page.get_by_test_id("past")).to_contain_text("cleared")


def test_an_alarm_raised_before_the_dashboard_started_is_shown_too(alarms_page: Page, station: Station) -> None:
    """Only its code is known then, and it is still an alarm."""
    station.send("alarms", {"schema_version": 1, "active": ["disk_full"]}, retain=True)

    expect(alarms_page.get_by_test_id("alarm")).to_contain_text("disk_full")


def test_a_known_alarm_comes_with_its_remedy(alarms_page: Page, station: Station) -> None:
    """Whoever stands before the machine at night reads what to do."""
    raise_alarm(station, "source", "//nas/cam1: no such folder", active=True, codes=["source"])

    expect(alarms_page.get_by_test_id("alarm")).to_contain_text("No pictures")
    expect(alarms_page.get_by_test_id("alarm")).to_contain_text("Check the camera")


@pytest.mark.parametrize(("language", "heading"), [("en", "An alarm"), ("de", "Ein Alarm")])
def test_every_alarm_leads_to_the_operator_s_page(
    alarms_page: Page, station: Station, language: str, heading: str
) -> None:
    """One tap from the alarm to what an operator does about it, in the operator's language."""
    raise_alarm(station, "source", "//nas/cam1: no such folder", active=True, codes=["source"])
    expect(alarms_page.get_by_test_id("alarm")).to_have_count(1)
    if language == "de":
        alarms_page.get_by_role("button", name="DE", exact=True).click()

    with alarms_page.expect_popup() as opened:
        alarms_page.get_by_test_id("help").click()

    page = opened.value
    expect(page.locator(f"#{page.url.rpartition('#')[2]}")).to_be_visible()
    expect(page.locator(f"#{page.url.rpartition('#')[2]} ~ p b").filter(has_text=heading).first).to_be_visible()


def test_messages_that_could_not_be_read_are_listed(alarms_page: Page, station: Station) -> None:
    """Whoever sent nonsense is named, and how often."""
    for _ in range(3):
        station.send("health", b"nope")

    expect(alarms_page.get_by_test_id("problem").filter(has_text=station.name)).to_contain_text("3 times")


def test_the_station_tells_about_itself(alarms_page: Page, station: Station) -> None:
    """Version, engine, source and disk are one touch away for whoever is called at night."""
    who = {"product": "edge-inspector", "version": "0.1.0", "contract": 1, "host": "pc7", "station": station.name}
    station.send("info", {"schema_version": 1, **who, "source": "folder", "parts": ["flange"]}, retain=True)
    station.health("DEGRADED", source={"open": False, "detail": "//nas/cam1"}, last_error="share away")

    for text in ("edge-inspector 0.1.0", "pc7", "closed: //nas/cam1", "81.2 GB", "share away"):
        expect(alarms_page.get_by_text(text, exact=True)).to_be_visible()
