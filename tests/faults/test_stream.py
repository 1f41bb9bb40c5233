"""Faults of a camera's stream, on the real process."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Subscriber, write_settings
from factories import a_part, jpeg
from line.sources.test_damaged_frames import DAMAGES, EACH, streaming

from edge_inspector.bundle import Bundle

_FRAMES = 24


@pytest.mark.fault("frames of an MJPEG stream cut, holed or zeroed")
@pytest.mark.parametrize("damage", ["cut", "holed", "zeroed"])
def test_damaged_frames_of_a_stream(
    bundle: Bundle, tmp_path: Path, record_property: Callable[[str, object], None], damage: str
) -> None:
    """Every third part is scratched and its frame arrives damaged: none of these is OK, each frame has its answer."""

    def scratched(_sound: bytes) -> bytes:
        return DAMAGES[damage](jpeg(a_part(3100, scratched=True)))

    with Mosquitto(tmp_path / "broker") as broker, streaming(scratched, every_s=0.15) as url:
        config = write_settings(tmp_path / "station", bundle=bundle.path, port=broker.port)
        config.write_text(
            f'{config.read_text()}[[station]]\nname = "st2"\n[station.source]\nkind = "capture"\ndevice = "{url}"\n'
            f'trigger = "every_frame"\n[[station.part]]\nname = "washer"\nbundle = "{bundle.path}"\n'
        )
        with Subscriber(broker.port, base="edge-inspector/v1/st2") as scada, Daemon(config) as daemon:
            daemon.start()
            until(lambda: len(scada.payloads("result")) >= _FRAMES, "a result for each frame", 120)
            results = [json.loads(payload) for payload in scada.payloads("result")[:_FRAMES]]

    verdicts = [one["verdict"] for one in results]
    runs = [verdicts[n : n + EACH] for n in range(len(verdicts) - EACH)]
    wrong = sum(not {"INVALID", "ERROR"} & set(run) for run in runs)
    record_property("parts in", _FRAMES)
    record_property("results out", len({one["id"] for one in results}))
    record_property("wrong verdicts", wrong)
    record_property("errors", Counter(verdicts)["ERROR"])
    record_property("wrong accepts", wrong)

    assert wrong == 0
    assert Counter(verdicts)["INVALID"] >= 1
