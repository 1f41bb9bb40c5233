"""Every page fits a phone and a finger."""

import pytest
from dashboards import NodeRed, show
from fake_station import Station
from playwright.sync_api import Page, expect

SIZES = (
    "all => all.map(each => each.getBoundingClientRect()).filter(box => box.width).map(box => [box.width, box.height])"
)


@pytest.mark.parametrize("name", ["line", "history", "control", "alarms"])
def test_a_page_fits_a_phone(page: Page, dashboard: NodeRed, station: Station, name: str) -> None:
    """Nothing hangs out at the side, nothing is cut off, and every button can be hit."""
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, dashboard, station, name)
    station.part(
        "NG", ((700, 300, 130, 70),), serial="a-very-long-serial-number-without-any-space-0123456789-0123456789"
    )
    page.locator(".ei main").wait_for()

    assert page.locator(".ei").evaluate("page => page.scrollWidth <= page.clientWidth")
    assert all(min(size) >= 40 for size in page.locator(".ei button, .ei nav a").evaluate_all(SIZES))
    if name == "line":
        expect(page.get_by_test_id("verdict")).to_have_text("NG")
        assert page.get_by_test_id("band").evaluate("band => band.scrollHeight <= band.clientHeight")
        assert page.get_by_test_id("picture").evaluate("image => image.clientHeight > 250")
