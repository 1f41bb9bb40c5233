"""What stands retained proves nothing: the limit of our last words, and why no part passes by it."""

from pathlib import Path

from brokers import lasting, until
from daemons import Subscriber
from plc import Plc
from stations import Bench, wait_until_ready


def test_a_ready_that_outlived_its_station_lets_no_part_pass(tmp_path: Path) -> None:
    """The broker saved ready 1, died, and came back when the station had gone: no heartbeat, so nothing is accepted."""
    plc = Plc()
    with lasting(tmp_path / "broker") as broker:
        with Bench(tmp_path, broker.port) as bench:
            with Subscriber(broker.port) as heard:
                wait_until_ready(heard)
                bench.send("S1")
                heard.wait_for_results(["S1"])
                until(lambda: heard.last("plc/word").endswith("S1"), "its word")
                broker.save()
            broker.kill()
        broker.start()
        plc.expect(0.0, serial="S1")
        with Subscriber(broker.port, hear=lambda h: plc.hear(h.topic, h.payload, 0.1)) as late:
            until(lambda: late.payloads("plc/ready") and late.payloads("plc/word"), "what stands retained")
            late.send("plc/cmd/none", "0")
            until(lambda: late.payloads("plc/cmd/none"), "all that is retained came before")

    assert late.last("plc/ready") == "1"
    assert late.last("availability") == "online"
    assert plc.accepted == []
