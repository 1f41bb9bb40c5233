"""The history: what came, how often, and what it looked like."""

import pytest
from brokers import until
from dashboards import NodeRed, show
from fake_station import Station
from playwright.sync_api import Page, expect

SCRATCH = ((700, 300, 130, 70),)


@pytest.fixture
def history_page(page: Page, dashboard: NodeRed, station: Station) -> Page:
    """The history page, showing this test's station."""
    return show(page, dashboard, station, "history")


def test_results_come_newest_first_with_images_of_what_was_not_ok(history_page: Page, station: Station) -> None:
    """The table shows every part, and can leave out the good ones."""
    parts = [station.part(verdict, SCRATCH if verdict == "NG" else ()) for verdict in ("OK", "NG", "OK", "INVALID")]
    rows = history_page.get_by_test_id("results").locator("tbody tr")

    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text(parts[-1]["serial"])
    expect(rows.locator("img")).to_have_count(2)

    history_page.get_by_test_id("only-bad").click()
    expect(rows).to_have_count(2)


def test_rates_and_reasons_are_counted_once(history_page: Page, station: Station) -> None:
    """A result that comes twice, or again from the ledger, is one part."""
    parts = [
        station.part("NG", SCRATCH, reason_code=1),
        station.part("INVALID", reason_code=103),
        station.part("OK"),
        station.part("OK"),
    ]
    for part in parts:
        station.send("result", part)
        station.send("result", part | {"replayed": True})

    expect(history_page.get_by_test_id("results").locator("tbody tr")).to_have_count(4)
    expect(history_page.get_by_test_id("hours")).to_contain_text("33.3")
    expect(history_page.get_by_test_id("reasons").locator("li")).to_have_text(
        ["a blob of the minimum area over the limit1", "the image is truncated1"]
    )


def test_the_gallery_keeps_the_last_ten_defects(history_page: Page, station: Station) -> None:
    """Good parts in between do not push a defect out, and a touch makes it large."""
    rejected = [station.part("NG", SCRATCH)["id"] for _ in range(12)]
    for _ in range(14):
        station.part("OK")
    gallery = history_page.get_by_test_id("defect")

    expect(gallery).to_have_count(10)
    expect(gallery.first).to_have_attribute("data-id", rejected[-1])
    until(
        lambda: all(gallery.locator("image").evaluate_all("all => all.map(each => each.getBBox().width > 0)")),
        "the images of the gallery",
    )
    gallery.first.click()
    expect(history_page.locator(".dialog image")).to_be_visible()


def test_shifts_and_parts_are_listed(history_page: Page, station: Station) -> None:
    """The retained counters of a shift and of a part become rows."""
    counts = {"ok": 97, "ng": 2, "review": 1, "invalid": 0, "error": 0, "replayed": 0}
    message = {
        "schema_version": 1,
        "since": station.since,
        "total": 100,
        **counts,
        "yield": 0.97,
        "parts_per_minute": 4.0,
    }
    station.send("counters/shift/early", message | {"by_part": {}}, retain=True)
    station.send("counters", message | {"by_part": {"flange": {"OK": 97, "NG": 2, "REVIEW": 1}}}, retain=True)

    expect(history_page.get_by_test_id("shifts")).to_contain_text("2.0 %")
    expect(history_page.get_by_test_id("parts").locator("tbody tr")).to_have_text("flange1002.0 %97.0 %")


def test_older_results_can_be_fetched_from_the_ledger(history_page: Page, station: Station) -> None:
    """What came before the dashboard started is asked for, shown, and pushes nothing away."""
    station.seq = 500
    newest = station.part("OK")
    history_page.get_by_test_id("load").click()
    until(lambda: station.heard, "the command")
    command, envelope = station.heard[0]

    assert (command, envelope["args"]) == ("resend", {"from_seq": 401, "to_seq": 500})

    station.send("result", station.result("NG", seq=500, replayed=True))
    rows = history_page.get_by_test_id("results").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(newest["serial"])
