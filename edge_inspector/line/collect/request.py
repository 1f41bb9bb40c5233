"""What a collection of images to train from is asked to be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edge_inspector.errors import DataError, SettingsError
from edge_inspector.line.collect.image_collection import file_name
from edge_inspector.wire.topics import check_name

MOST = 2000
"""Images of one collection."""
_ARGS = ("count", "part", "group", "serial")


@dataclass(frozen=True, slots=True)
class CollectionRequest:
    """What is to be collected."""

    by: str
    part: str
    count: int
    """0 ends what is going on."""
    group: str
    serial: str
    parts: tuple[str, ...]
    """Whose images are meant: the part's, and of one that is new the active part's, as which it comes."""
    begun_ns: int
    """Monotonic; what was accepted before is not meant."""
    since_ns: int
    """Unix time of the same moment."""

    @property
    def is_new(self) -> bool:
        """Whether the station does not know the part yet."""
        return len(self.parts) > 1


def request_for(
    by: str, args: Mapping[str, object], *, active: str, known: Collection[str], now_ns: int, monotonic_ns: int
) -> CollectionRequest:
    """Return what `cmd/collect` asks for.

    Args:
        by: who asks.
        args: count, and optionally part (default: the active one), group, serial.
        active: the part that is inspected now.
        known: all parts of the station.
        now_ns: Unix time.
        monotonic_ns: the same moment.

    Raises:
        ValueError: a value is missing, unknown or may not name a folder.
    """
    count = args.get("count")
    if type(count) is not int or not 0 <= count <= MOST:
        raise ValueError(f"expected count, 1 to {MOST}, or 0 to end it, got {count!r}")
    texts = {name: args.get(name, "") for name in _ARGS[1:]}
    wrong = [name for name in args if name not in _ARGS] + [n for n, text in texts.items() if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"{wrong[0]}: expected {', '.join(_ARGS)}, all but count as text")
    part, group, serial = (str(text).strip() for text in texts.values())
    try:
        part = check_name(part or active, "part")
        group, serial = (file_name(text) for text in (group, serial))
    except (SettingsError, DataError) as error:
        raise ValueError(str(error)) from error
    parts = (part,) if part in known else (part, active)
    return CollectionRequest(by, part, count, group, serial, parts, monotonic_ns, now_ns)
