"""Workers of a pool that judge by different bundles give one image one verdict and the next another: that is said."""

import os
import signal
from pathlib import Path

import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Subscriber
from factories import a_twin
from fleets import POOL, write_worker
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.bundle import Bundle
from edge_inspector.line.broker.peers import Peers
from edge_inspector.wire.messages import AvailablePart, RecipeMessage

WORKERS = f"edge-inspector/v1-workers/{POOL}"


def a_recipe_message(**bundles: str) -> bytes:
    """Return what a worker says: the bundle of each part."""
    parts = tuple(AvailablePart(part=part, bundle=bundle, threshold=1.0) for part, bundle in bundles.items())
    return RecipeMessage(active="washer", available=parts).encode()


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"washer": "b1"}, ""),
        ({"washer": "b1", "bracket": "b9"}, ""),
        ({"washer": "b2"}, "w2 judges washer by bundle b2, this one by b1"),
        ({"bracket": "b1"}, "w2 has no part washer"),
    ],
)
def test_who_differs_is_named(theirs: dict[str, str], said: str) -> None:
    """With both bundles; a part that only the other one knows is for it to say."""
    peers = Peers("t", "w1")
    peers.hear("w2", a_recipe_message(**theirs))
    assert peers.difference() == ""
    peers.hear("w1", a_recipe_message(washer="b1"))

    assert peers.difference() == said
    peers.hear("w2", b"")
    assert peers.difference() == ""


@given(st.binary())
def test_what_cannot_be_read_is_nobody(payload: bytes) -> None:
    """Anybody may write there who may write."""
    peers = Peers("t", "w1")
    peers.hear("w1", a_recipe_message(washer="b1"))
    peers.hear("w2", payload)

    assert peers.difference() == ""


def test_two_workers_with_different_bundles_raise_the_alarm(tmp_path: Path, broker: Mosquitto, bundle: Bundle) -> None:
    """At both, before an image comes; over when one of them takes up the other's bundle by a reload, or goes."""
    twin = a_twin(bundle, tmp_path / "twin", 99)
    link = tmp_path / "link"
    link.symlink_to(twin.path)
    configs = [
        write_worker(tmp_path / name, name, bundle=path, port=broker.port)
        for name, path in (("w1", bundle.path), ("w2", link))
    ]
    with (
        Subscriber(broker.port, base="edge-inspector/v1/w1", only="alarms") as first,
        Subscriber(broker.port, base="edge-inspector/v1/w2", only="alarms") as second,
        Subscriber(broker.port, base=WORKERS, only="+") as said,
        Daemon(configs[0]) as stays,
        Daemon(configs[1]) as changes,
    ):
        stays.start()
        changes.start()
        for one in (first, second):
            until(lambda one=one: one.last("alarms")["active"] == ["pool_differs"], "the alarm")
        link.unlink()
        link.symlink_to(bundle.path)
        os.kill(changes.pid, signal.SIGHUP)
        for one in (first, second):
            until(lambda one=one: one.last("alarms")["active"] == [], "it is over")
        assert changes.stop() == 0
        until(lambda: said.payloads("w2")[-1] == b"", "who goes says so")
