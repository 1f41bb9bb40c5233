"""What the supervisor says of a station's parts."""

from pathlib import Path

from edge_inspector.bundle import Bundle
from edge_inspector.line.station.renewal import parts_of
from edge_inspector.line.station.stage import PartLine
from edge_inspector.settings import Settings


def test_a_part_without_a_bundle_is_named_but_not_offered(bundle: Bundle, tmp_path: Path) -> None:
    """A station goes on with the parts that it can judge, and says of the others why it cannot."""
    names = ("washer", "bracket", "bolt")
    settings = Settings(
        station=(
            {
                "name": "st1",
                "source": {"kind": "folder", "path": tmp_path},
                "part": [{"name": name, "bundle": tmp_path / name} for name in names],
            },
        ),
        state_dir=tmp_path,
    )
    able, unable = PartLine(None, None), PartLine(None, None, "no such bundle")

    parts = parts_of(
        settings, settings.station[0], {"washer": bundle}, {"washer": able, "bracket": unable, "bolt": unable}
    )

    assert [part.part for part in parts.available] == ["washer"]
    assert bundle.id in parts.configuration
    assert (parts.why_not("washer"), parts.why_not("bolt")) == ("", "no such bundle")
    assert parts.unready_besides("bolt") == "part bracket: no such bundle"
    assert list(parts.charts) == ["washer"]
