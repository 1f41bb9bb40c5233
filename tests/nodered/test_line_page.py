"""What an operator sees on the line page, in a real browser, through a real broker."""

import datetime as dt
import random
import re
from collections.abc import Callable

import pytest
from brokers import Mosquitto, until
from dashboards import NodeRed, show
from fake_station import Box, Station, draw_part, encode_thumb, stamp
from playwright.sync_api import Page, expect

Dashboards = Callable[..., NodeRed]
SCRATCHES: tuple[Box, ...] = ((700, 300, 130, 70), (520, 620, 90, 60))
LETTER_HEIGHT = """text => {
  const style = getComputedStyle(text), pen = document.createElement('canvas').getContext('2d')
  pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`
  return pen.measureText('N').actualBoundingBoxAscent * text.getScreenCTM().d
}"""
COLOURS = "band => [getComputedStyle(band).color, getComputedStyle(band).backgroundColor]"
WATCH_PAIRS = """() => {
  window.mixed = []; window.seen = new Set()
  const look = () => {
    const band = document.querySelector('[data-test=band]'), image = document.querySelector('[data-test=picture]')
    if (!band || !image) return
    const address = decodeURIComponent(image.querySelector('image').getAttribute('href')).split('/').pop()
    const ids = [band.dataset.id, image.dataset.id, address]
    window.seen.add(ids[0])
    if (new Set(ids).size > 1) window.mixed.push(ids)
  }
  const everything = { subtree: true, childList: true, attributes: true, characterData: true }
  new MutationObserver(look).observe(document.body, everything)
}"""


def contrast(first: str, second: str) -> float:
    """Return the contrast of two CSS colours, 1 to 21, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, brighter = sorted((luminance(first), luminance(second)))
    return (brighter + 0.05) / (darker + 0.05)


def minutes_ago(minutes: int) -> str:
    """Return a moment of the past as the contract writes it."""
    return stamp(dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes))


def test_a_rejected_part_appears_with_its_verdict_boxes_and_count(line_page: Page, station: Station) -> None:
    """The operator sees that the part is bad, where, why and how many there were."""
    part = station.part("NG", SCRATCHES)

    expect(line_page.get_by_test_id("verdict")).to_have_text("NG")
    expect(line_page.get_by_test_id("picture")).to_have_attribute("data-id", part["id"])
    expect(line_page.get_by_test_id("box")).to_have_count(len(SCRATCHES))
    expect(line_page.get_by_test_id("box").first).to_have_attribute("x", str(SCRATCHES[0][0]))
    expect(line_page.get_by_test_id("reason")).to_have_text(part["reason"])
    expect(line_page.get_by_test_id("score")).to_contain_text("1.62")
    expect(line_page.get_by_test_id("largest")).to_contain_text(f"{part['blobs'][0]['area']:,}")
    expect(line_page.get_by_test_id("count-NG")).to_have_text("1")
    expect(line_page.get_by_test_id("recent").locator("tbody tr")).to_have_count(1)


def test_the_boxes_lie_on_the_defects(line_page: Page, station: Station) -> None:
    """A box is in camera pixels and the image is smaller: both fill the same frame."""
    station.part("NG", ((640, 480, 320, 240),))
    line_page.get_by_test_id("picture").wait_for()

    image = line_page.locator("[data-test=picture] image").bounding_box()
    box = line_page.get_by_test_id("box").bounding_box()
    assert image is not None
    assert box is not None
    assert abs(box["x"] - (image["x"] + image["width"] / 2)) < 6
    assert abs(box["y"] - (image["y"] + image["height"] / 2)) < 6
    assert abs(box["width"] - image["width"] / 4) < 6


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_verdict_is_read_from_across_the_hall(
    page: Page, dashboard: NodeRed, station: Station, theme: str
) -> None:
    """Letters are at least 120 px high with a contrast of at least 7:1, and no two verdicts look alike."""
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    show(page, dashboard, station)
    looks = set()
    for verdict in ("OK", "NG", "REVIEW", "INVALID", "ERROR"):
        station.part(verdict)
        expect(page.get_by_test_id("verdict")).to_have_text(verdict)
        colour, background = page.get_by_test_id("band").evaluate(COLOURS)
        letters = page.get_by_test_id("verdict")
        looks.add((colour, background))

        assert letters.evaluate(LETTER_HEIGHT) >= 120
        assert contrast(colour, background) >= 7
        assert letters.evaluate("text => text.getBBox().width <= 640")
    assert len(looks) == 5


@pytest.mark.parametrize("version", [5, 4])
def test_image_and_verdict_are_always_of_the_same_part(
    page: Page, broker: Mosquitto, node_red: Dashboards, version: int
) -> None:
    """Whatever order results and images come in, and in MQTT 3.1.1 too, two parts are never mixed on the page."""
    dashboard = node_red(broker.port, EDGE_INSPECTOR_MQTT_VERSION=str(version))
    with Station(broker.port, version=version) as station:
        station.health()
        show(page, dashboard, station)
        page.evaluate(WATCH_PAIRS)
        shuffle = random.Random(11)  # noqa: S311 - a game, not a secret
        for _ in range(30):
            parts = [station.result("OK"), station.result("NG", SCRATCHES)]
            messages = [("result", part) for part in parts] + [("thumb", part) for part in parts]
            shuffle.shuffle(messages)
            for kind, part in messages:
                if kind == "result":
                    station.send("result", part)
                else:
                    station.thumb(part["id"])
            page.wait_for_timeout(30)
        last = parts[1]["id"]

        expect(page.get_by_test_id("band")).to_have_attribute("data-id", last)
        expect(page.get_by_test_id("picture")).to_have_attribute("data-id", last)
        assert page.evaluate("window.mixed") == []
        assert page.evaluate("window.seen.size") > 3


def test_a_verdict_without_its_image_shows_no_other(line_page: Page, station: Station) -> None:
    """When an image stays away the verdict comes all the same, and the old image leaves."""
    station.part("OK")
    line_page.get_by_test_id("picture").wait_for()
    lonely = station.result("NG", SCRATCHES)
    station.send("result", lonely)

    expect(line_page.get_by_test_id("band")).to_have_attribute("data-id", lonely["id"])
    expect(line_page.get_by_test_id("picture")).to_have_count(0)

    station.thumb(lonely["id"], SCRATCHES)
    expect(line_page.get_by_test_id("picture")).to_have_attribute("data-id", lonely["id"])


def test_a_script_in_a_serial_is_shown_as_text(line_page: Page, station: Station) -> None:
    """What a camera's file name says is text, never a program."""
    nasty = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>{{ 7*7 }}"
    station.part("NG", SCRATCHES, serial=nasty, reason=nasty, part=nasty)

    expect(line_page.get_by_test_id("serial")).to_have_text(nasty)
    expect(line_page.get_by_test_id("reason")).to_have_text(nasty)
    assert line_page.evaluate("window.hacked") is None


def test_a_station_that_vanishes_is_grey(line_page: Page, station: Station) -> None:
    """A cut cable takes the colour away and says that nothing is live; coming back gives it again."""
    station.part("OK")
    expect(line_page.get_by_test_id("verdict")).to_have_text("OK")
    station.drop()

    expect(line_page.get_by_test_id("verdict")).to_have_text("OFFLINE")
    expect(line_page.get_by_test_id("stamp")).to_contain_text("not live")
    assert "grayscale" in line_page.locator(".photo").evaluate("photo => getComputedStyle(photo).filter")
    red, green, blue = re.findall(r"\d+", line_page.get_by_test_id("band").evaluate(COLOURS)[1])
    assert max(map(int, (red, green, blue))) - min(map(int, (red, green, blue))) < 25

    with Station(station.port, name=station.name):
        expect(line_page.get_by_test_id("verdict")).to_have_text("OK")


def test_an_old_verdict_does_not_look_live(page: Page, dashboard: NodeRed, station: Station) -> None:
    """After a pause the last part is still there, but without its colour and with its age."""
    old = station.result("OK", decided_at=minutes_ago(10), captured_at=minutes_ago(10))
    station.send("last/result", old, retain=True)
    station.thumb(old["id"], leaf="last/thumb")
    show(page, dashboard, station)

    expect(page.get_by_test_id("band")).to_have_class(re.compile(r"\bold\b"))
    expect(page.get_by_test_id("age")).to_contain_text("10 min ago")
    expect(page.get_by_test_id("stamp")).to_be_visible()


def test_a_result_sent_again_does_not_push_the_newest_part_away(line_page: Page, station: Station) -> None:
    """Results resent from the ledger belong to the history."""
    first = station.part("NG", SCRATCHES)
    newest = station.part("OK")
    missed = station.result("NG", seq=first["seq"] - 1, replayed=True)
    station.send("result", first | {"replayed": True})
    station.send("result", missed)

    expect(line_page.get_by_test_id("recent").locator("tbody tr")).to_have_count(3)
    expect(line_page.get_by_test_id("band")).to_have_attribute("data-id", newest["id"])


BAD = {
    "not JSON": ("result", b"{nonsense"),
    "not UTF-8": ("result", b"\xff\xfe\x00{}"),
    "a list": ("result", b"[1, 2]"),
    "another schema": ("result", {"schema_version": 99, "id": "x", "verdict": "OK", "accept": True}),
    "no schema": ("counters", {"total": 4}),
    "an unknown verdict": ("result", {"schema_version": 1, "id": "x", "verdict": "FINE", "accept": True}),
    "an OK that is not accepted": ("result", {"schema_version": 1, "id": "x", "verdict": "OK", "accept": False}),
    "an unknown state": ("health", {"schema_version": 1, "state": "DANCING"}),
    "an image that is none": ("image/thumb", b"GIF89a........"),
    "an image of nobody": ("image/thumb", encode_thumb(draw_part((), 1), "")),
    "an image cut in its comment": ("image/thumb", b"\xff\xd8\xff\xfe\xff\xff"),
    "a huge payload": ("result", b"[" * 950_000),
    "a strange availability": ("availability", b"perhaps"),
}


@pytest.mark.parametrize("bad", BAD, ids=list(BAD))
def test_a_message_that_cannot_be_read_is_reported_and_changes_nothing(
    line_page: Page, station: Station, bad: str
) -> None:
    """Bad input is named on the page; the part before it stays and the part after it comes."""
    before = station.part("NG", SCRATCHES)
    expect(line_page.get_by_test_id("band")).to_have_attribute("data-id", before["id"])
    leaf, payload = BAD[bad]
    station.send(leaf, payload)

    expect(line_page.get_by_test_id("notice")).to_contain_text(f"{station.name}/{leaf}")
    expect(line_page.get_by_test_id("band")).to_have_attribute("data-id", before["id"])

    after = station.part("OK")
    expect(line_page.get_by_test_id("picture")).to_have_attribute("data-id", after["id"])


def test_fields_of_the_wrong_type_are_left_out(line_page: Page, station: Station) -> None:
    """A result with nonsense in its optional fields still gives its verdict."""
    boxes = [None, {"box": "wide"}, {"box": [1, 2, 3]}, {"box": [10, 10, 5, None]}]
    texts = {"serial": {"a": 1}, "reason": None, "decided_at": "yesterday", "captured_at": None}
    nonsense = {"blobs": boxes, "images": "none", "score": "high", "timing_ms": 3, "bundle": [], **texts}
    station.send("result", station.result("NG") | nonsense)
    station.send("counters", {"schema_version": 1, "total": -4, "yield": "good", "by_part": [1], "since": 3})
    station.health(undelivered="some", source=None, engine=7, since={})

    expect(line_page.get_by_test_id("verdict")).to_have_text("NG")
    expect(line_page.get_by_test_id("box")).to_have_count(0)
    expect(line_page.get_by_test_id("total")).to_have_text("0")


def test_results_that_wait_are_told_when_they_wait_long(line_page: Page, station: Station) -> None:
    """One that is just on its way, while the station reports its health, is no news."""
    station.health(undelivered={"count": 1, "oldest_s": 0.1}, last_error="first")
    station.part("OK")
    expect(line_page.get_by_test_id("verdict")).to_have_text("OK")
    expect(line_page.get_by_test_id("notice")).to_have_count(0)
    station.health(undelivered={"count": 7, "oldest_s": 12.0})

    expect(line_page.get_by_test_id("notice")).to_contain_text("7 results wait for the broker, the oldest for 12 s")


def test_a_broken_image_says_so(line_page: Page, station: Station) -> None:
    """A JPEG that ends in its middle is not shown as the part."""
    part = station.result("NG", SCRATCHES)
    station.send("image/thumb", encode_thumb(draw_part((), 1), part["id"])[:300], part_id=part["id"])
    station.send("result", part)

    expect(line_page.get_by_text("cannot be shown")).to_be_visible()


def test_a_broker_that_dies_and_comes_back_gives_the_page_back(
    page: Page, broker: Mosquitto, node_red: Dashboards
) -> None:
    """Without a broker nothing looks live; with it again the next part is there, without anybody's help."""
    dashboard = node_red(broker.port)
    with Station(broker.port) as station:
        station.health()
        show(page, dashboard, station)
        station.part("OK")
        expect(page.get_by_test_id("verdict")).to_have_text("OK")
        broker.kill()

        expect(page.get_by_test_id("verdict")).to_have_text("NO BROKER")

        broker.start()
        until(station.client.is_connected, "the station is back")
        station.health()
        expect(page.get_by_test_id("verdict")).to_have_text("OK")
        part = station.part("NG", SCRATCHES)
        expect(page.get_by_test_id("picture")).to_have_attribute("data-id", part["id"])


def test_a_dashboard_server_that_dies_leaves_no_live_page(page: Page, broker: Mosquitto, node_red: Dashboards) -> None:
    """A tablet that lost its server greys out by itself, and wakes by itself."""
    dashboard = node_red(broker.port)
    with Station(broker.port) as station:
        station.health()
        show(page, dashboard, station)
        station.part("OK")
        expect(page.get_by_test_id("verdict")).to_have_text("OK")
        dashboard.stop()

        expect(page.get_by_test_id("verdict")).to_have_text("NO LINK")

        dashboard.start()
        station.health()
        expect(page.get_by_test_id("verdict")).to_have_text("OK")


def test_every_station_below_the_root_can_be_chosen(
    line_page: Page, station: Station, shared_broker: Mosquitto, dashboard: NodeRed
) -> None:
    """Two stations, one page: a touch changes what it shows, and the choice is remembered."""
    with Station(shared_broker.port, name=f"weld-{station.name}") as other:
        other.health("PAUSED")
        other.part("NG", SCRATCHES)
        station.part("OK")
        expect(line_page.get_by_test_id("verdict")).to_have_text("OK")
        line_page.get_by_role("tab", name=other.name).click()

        expect(line_page.get_by_test_id("verdict")).to_have_text("NG")
        expect(line_page.get_by_test_id("state")).to_have_text("Paused")
        line_page.goto(dashboard.url)
        expect(line_page.get_by_test_id("state")).to_have_text("Paused")


def test_a_chosen_station_is_not_exchanged_for_another(page: Page, broker: Mosquitto, node_red: Dashboards) -> None:
    """A page that waits for its station after a restart does not show the neighbour's parts instead."""
    dashboard = node_red(broker.port)
    with Station(broker.port, name="neighbour") as neighbour:
        neighbour.part("OK")
        page.goto(f"{dashboard.url}?station=press-7")
        expect(page.get_by_role("tab")).to_have_text(["neighbour"])
        neighbour.part("NG", SCRATCHES)

        expect(page.get_by_test_id("verdict")).to_have_text("NO STATION")
        expect(page.get_by_test_id("means")).to_contain_text("press-7")
        with Station(broker.port, name="press-7") as wanted:
            wanted.part("REVIEW")
            expect(page.get_by_test_id("verdict")).to_have_text("REVIEW")


def test_the_page_speaks_german(line_page: Page, station: Station) -> None:
    """One touch changes every label, and the choice is remembered."""
    station.part("INVALID")
    line_page.get_by_role("button", name="DE", exact=True).click()

    expect(line_page.get_by_test_id("verdict")).to_have_text("UNGÜLTIG")
    line_page.reload()
    expect(line_page.get_by_test_id("state")).to_have_text("Läuft")


def test_a_deeper_root_is_followed(page: Page, broker: Mosquitto, node_red: Dashboards) -> None:
    """The topic root may be any path of a unified namespace."""
    dashboard = node_red(broker.port, "acme/porto/press")
    with Station(broker.port, "acme/porto/press", "line3") as station, Station(broker.port, "acme/lisboa", "line9"):
        station.health()
        show(page, dashboard, station)
        station.part("NG", SCRATCHES)

        expect(page.get_by_test_id("picture")).to_be_visible()
        expect(page.get_by_role("tab")).to_have_count(1)


def test_the_page_asks_nobody_outside(page: Page, dashboard: NodeRed, station: Station) -> None:
    """No font, script or statistic comes from or goes to another server."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    show(page, dashboard, station)
    station.part("NG", SCRATCHES)
    expect(page.get_by_test_id("picture")).to_be_visible()

    assert len(asked) > 3
    assert [url for url in asked if not url.startswith((dashboard.origin, "data:", "blob:"))] == []


@pytest.mark.slow
def test_a_station_that_says_nothing_is_grey(line_page: Page, station: Station) -> None:
    """A daemon that hangs keeps its connection, and no last will is spoken."""
    station.part("OK")
    expect(line_page.get_by_test_id("verdict")).to_have_text("OK")

    expect(line_page.get_by_test_id("verdict")).to_have_text("SILENT")


def test_monitor_mode_is_said_and_its_ok_is_not_green(line_page: Page, station: Station) -> None:
    """Who watches must not take a verdict for a released part."""
    station.health(monitor={"by": "Maria", "since": minutes_ago(1), "until": minutes_ago(-30)})
    station.part("OK", accept=False, monitored=True)

    expect(line_page.get_by_test_id("verdict")).to_have_text("OK")
    expect(line_page.get_by_test_id("means")).to_have_text("Not accepted: monitor mode, act on no verdict")
    expect(line_page.get_by_test_id("band")).not_to_have_class(re.compile("v-OK"))
    expect(line_page.get_by_text("Monitor mode by Maria until")).to_be_visible()


@pytest.mark.parametrize(("verdict", "means"), [("NG", "it was found"), ("OK", "it was NOT found")])
def test_a_challenge_part_is_said(line_page: Page, station: Station, verdict: str, means: str) -> None:
    """A known-bad part that is found is good news, one that is not found is the worst."""
    station.health(challenge={"announced": False, "passed_at": None, "failed": "", "overdue": True})
    station.part(verdict, accept=False, challenge=True)

    expect(line_page.get_by_test_id("means")).to_have_text(f"Challenge part: {means}")
    expect(line_page.get_by_text("A challenge part is due")).to_be_visible()


def test_an_ok_that_is_not_accepted_needs_a_reason(line_page: Page, station: Station) -> None:
    """Without a flag it is no message of the contract, and no part on the page."""
    station.part("OK")
    station.part("OK", accept=False, serial="odd")

    expect(line_page.get_by_text("says OK and accept false")).to_be_visible()
    expect(line_page.get_by_test_id("recent")).not_to_contain_text("odd")
