"""Commands that look back: what was judged, why, and what support needs to know."""

import csv
import sys
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, no_formula, now, print_json
from edge_inspector.errors import UsageError
from edge_inspector.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_inspector.line.ledger.history import Audited, Found, Verified
    from edge_inspector.settings import Settings, StationSettings

ConfigOption = Annotated[Path, typer.Option(help="Settings file (TOML) of the daemon.")]
StationOption = Annotated[
    str, typer.Option(help="Which station; needed where the settings have several.", show_default="the only one")
]
_COLUMNS = ("decided_at", "id", "seq", "part", "serial", "lot", "view", "verdict", "reason_code", "reason", "score")
_VERDICTS = ("OK", "NG", "REVIEW", "INVALID", "ERROR")
_FLAGS = ("replayed", "challenge", "monitored")


def history(
    config: ConfigOption,
    station: StationOption = "",
    serial: Annotated[str, typer.Option(help="Only parts with this serial.", show_default="all")] = "",
    lot: Annotated[str, typer.Option(help="Only parts of this lot.", show_default="all")] = "",
    part: Annotated[str, typer.Option(help="Only this part.", show_default="all")] = "",
    verdict: Annotated[str, typer.Option(help="Only OK, NG, REVIEW, INVALID or ERROR.", show_default="all")] = "",
    since: Annotated[
        str, typer.Option(help="ISO 8601, for instance 2026-01-31 or 2026-01-31T06:00Z.", show_default="the beginning")
    ] = "",
    until: Annotated[str, typer.Option(help="As --since; before this time.", show_default="now")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most this many lines, 0 is all.")] = 100,
    audit: Annotated[bool, typer.Option("--audit", help="Who asked for what, instead of results.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Verify the hash chain; exit 1 when it is broken.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with all columns.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find results in a station's ledger, newest first, or its audit trail; a daemon may be at work meanwhile."""
    from edge_inspector.line.ledger import history as past
    from edge_inspector.line.station.station import state_folder

    _check_verdict(verdict)
    settings, chosen = _chosen(config, station)
    path = state_folder(settings, chosen) / "ledger.db"
    if verify:
        _say_verified(past.verify(path), as_json=as_json)
        return
    begin, end = _unix_ns("--since", since, 0), _unix_ns("--until", until, 2**63 - 1)
    wanted = past.Wanted(serial, lot, part, verdict.upper(), begin, end)
    if audit:
        _print_audit(islice(past.audit_trail(path, wanted), limit or None), as_csv=as_csv, as_json=as_json)
    else:
        _print_results(islice(past.find(path, wanted), limit or None), as_csv=as_csv, as_json=as_json)


def explain(
    arrival_id: Annotated[str, typer.Argument(help="Id of a result.", metavar="ID")],
    config: ConfigOption,
    station: StationOption = "",
    out: Annotated[Path | None, typer.Option(help="Overlay to write.", show_default="ID.png here")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep its images longer than all others.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Judge an archived part again and draw an overlay; exit 1 when an image is gone or the verdict differs."""
    from edge_inspector.line.archive.archive import ArchiveFolders
    from edge_inspector.line.setup.explain import explain as look_again
    from edge_inspector.line.station.station import archive_folder

    settings, chosen = _chosen(config, station)
    target = out or Path(f"{Path(arrival_id).name}.png")
    found = look_again(settings, chosen, arrival_id, target, time.perf_counter_ns)
    images = ArchiveFolders(archive_folder(settings, chosen)).pin(found.images) if pin else found.images
    if as_json:
        print_json(
            {
                "result": found.found.result.model_dump(mode="json"),
                "published_at": found.found.published_at,
                "pictures": [str(path) for path in images],
                "overlay": None if found.drawn is None else str(found.drawn),
                "again": found.again,
                "problems": found.problems,
            }
        )
    else:
        for name, value in _facts(found.found):
            typer.echo(f"{name:<14}{value}")
        for path in images:
            typer.echo(f"{'archived':<14}{path}")
        typer.echo(f"{'now':<14}{found.again or 'not judged again'}")
        if found.drawn is not None:
            typer.echo(f"{'drawn':<14}{found.drawn}")
        for problem in found.problems:
            typer.echo(f"NOTE: {problem}")
    if found.problems:
        raise typer.Exit(FINDING)


def diagnose(
    config: ConfigOption,
    out: Annotated[Path | None, typer.Option(help="Zip file to write.", show_default="named by the time, here")] = None,
) -> None:
    """Write one file for support: settings without secrets, versions, log, health, ledger, timings. No images."""
    from edge_inspector.line.setup.diagnose import diagnose as collect
    from edge_inspector.settings import read_settings

    target = out or Path(f"edge-inspector-{now():%Y%m%d-%H%M%S}.zip")
    names = collect(read_settings(config), target)
    typer.echo(f"{target}: {', '.join(names)}")


def _check_verdict(text: str) -> None:
    if text and text.upper() not in _VERDICTS:
        expected = f"expected {', '.join(_VERDICTS[:-1])} or {_VERDICTS[-1]}"
        raise UsageError(f"--verdict {text}: {expected}{did_you_mean(text, _VERDICTS)}")


def _chosen(config: Path, name: str) -> "tuple[Settings, StationSettings]":
    from edge_inspector.settings import read_settings

    settings = read_settings(config)
    known = ", ".join(station.name for station in settings.station)
    if not name and len(settings.station) > 1:
        raise UsageError(f"--station is needed: {config} has {known}")
    for station in settings.station:
        if name in ("", station.name):
            return settings, station
    raise UsageError(
        f"--station {name}: {config} has {known}{did_you_mean(name, [one.name for one in settings.station])}"
    )


def _unix_ns(option: str, text: str, default: int) -> int:
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: expected a time such as 2026-01-31 or 2026-01-31T06:00Z") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000) * 1000


def _say_verified(found: "Verified", *, as_json: bool) -> None:
    if as_json:
        print_json({"records": found.records, "problem": found.problem})
    else:
        typer.echo(found.problem or f"{found.records} records, unbroken")
    if found.problem:
        raise typer.Exit(FINDING)


def _facts(found: "Found") -> "Iterable[tuple[str, object]]":
    result = found.result
    yield from ((name, getattr(result, name)) for name in ("id", "serial", "lot", "part", "captured_at", "decided_at"))
    yield "published_at", found.published_at or "not yet"
    yield "verdict", f"{result.verdict}, score {result.score}: {result.reason}"
    yield "bundle", "none" if result.bundle is None else f"{result.bundle.id} (calibration {result.bundle.calibration})"
    trace = result.trace
    yield "made with", f"recipe {trace.recipe}, settings {trace.settings}, software {trace.software}"


def _print_results(found: "Iterable[Found]", *, as_csv: bool, as_json: bool) -> None:
    if as_json:
        print_json([{**one.result.model_dump(mode="json"), "published_at": one.published_at} for one in found])
        return
    if not as_csv:
        for one in found:
            result = one.result
            score = "-" if result.score is None else f"{result.score:.3f}"
            typer.echo(
                f"{result.decided_at}  {result.verdict:<8}{score:>7}  {result.part}  {result.serial or '-'}  "
                f"{result.lot or '-'}  {result.id}  {result.reason}"
            )
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(
        (*_COLUMNS, "captured_at", "published_at", *_FLAGS, "bundle", "calibration", *_trace_columns(), "ledger")
    )
    for one in found:
        result, bundle = one.result, one.result.bundle
        writer.writerow(
            (
                *(no_formula(getattr(result, name)) for name in _COLUMNS),
                result.captured_at,
                one.published_at,
                *(getattr(result, name) for name in _FLAGS),
                *((bundle.id, bundle.calibration) if bundle else ("", "")),
                *(getattr(result.trace, name) for name in _trace_columns()),
                result.ledger,
            )
        )


def _trace_columns() -> tuple[str, ...]:
    return ("frame", "recipe", "settings", "software")


def _print_audit(found: "Iterable[Audited]", *, as_csv: bool, as_json: bool) -> None:
    rows = ((line.at, line.by, line.command, line.status, line.payload) for line in found)
    if as_json:
        print_json([dict(zip(("at", "by", "command", "status", "payload"), row, strict=True)) for row in rows])
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(("at", "by", "command", "status", "payload"))
        writer.writerows(tuple(map(no_formula, row)) for row in rows)
    else:
        for row in rows:
            typer.echo("  ".join(str(value) for value in row))
