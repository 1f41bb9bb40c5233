"""Which bundle a part is judged by: a link that settings name, versions beside it, and who approved what and when."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspector import atomic
from edge_inspector.bundle import Bundle, copy_files, read_bundle
from edge_inspector.errors import DataError, DiskError, UsageError
from edge_inspector.line.setup.setup import bundle_folder, check_part_of, open_to_readers, refuse_unfit
from edge_inspector.validation import in_our_words

_MOST_BYTES = 10_000_000
"""Of the file: some twenty thousand approvals."""
_ONE_LINE = r"^[^\x00-\x1f\x7f\u2028\u2029]*$"

Prove = Callable[[Bundle], None]
"""Judges a bundle's golden images on this machine, and raises DataError where they come out differently."""


class Approval(BaseModel):
    """One line of the file: from `at` on the part is judged by `bundle`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: str
    by: Annotated[str, Field(min_length=1, max_length=64, pattern=_ONE_LINE)]
    action: Literal["approve", "rollback"]
    part: str
    bundle: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    folder: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}-[0-9a-f]{12}$")]
    """Beside the link."""
    note: Annotated[str, Field(max_length=1000, pattern=_ONE_LINE)] = ""


def approvals_file(link: Path) -> Path:
    """Return the file, beside the link, to which each approval adds a line."""
    return link.with_name(f"{link.name}.approvals.jsonl")


def approve(
    source: Path, link: Path, by: str, note: str, now: datetime, prove: Prove, *, allow_unfit: bool = False
) -> Approval:
    """Copy a bundle beside `link`, write down who approved it, and only then let `link` be it.

    Raises:
        UsageError: `link` is a folder, or already this bundle; no name, or one that is not a single line; an unfit
            bundle is allowed without a note.
        DataError: the bundle is damaged, unfit, judges differently on this machine, is another part's or of no part's
            name.
        DiskError: the disk is full or closed; `link` is what it was.
    """
    bundle = read_bundle(source.resolve())
    check_part_of(bundle)
    refuse_unfit(bundle, note, allow=allow_unfit)
    prove(bundle)
    with _held(link) as file:
        lines = _read(link, file)
        if lines and lines[-1].part != bundle.recipe.part:
            raise DataError(f"{source} is for part {bundle.recipe.part}, expected {lines[-1].part} as before")
        if lines and lines[-1].bundle == bundle.id and _target(link) == lines[-1].folder:
            raise UsageError(f"{link} is bundle {bundle.id} already, approved by {lines[-1].by} at {lines[-1].at}")
        approval = _approval(bundle, "approve", by, note, now)
        _copy(bundle, link.with_name(approval.folder))
        _change(link, file, approval)
    return approval


def rollback(link: Path, by: str, note: str, now: datetime, prove: Prove) -> Approval:
    """Go back to the bundle that was approved before the one of now; once more, and it is the one before that.

    Raises:
        UsageError: nothing was approved before; no name.
        DataError: that bundle is damaged, or judges differently on this machine.
        DiskError: as `approve`.
    """
    with _held(link) as file:
        lines = _read(link, file)
        hold = _hold(lines)
        if len(hold) < 2:
            raise UsageError(f"{link}: nothing to go back to, {len(hold)} bundle was ever approved")
        before = hold[-2]
        bundle = read_bundle(link.with_name(before.folder))
        if bundle.id != before.bundle:
            raise DataError(f"{bundle.path} is bundle {bundle.id}, expected {before.bundle}; restore it")
        prove(bundle)
        approval = _approval(bundle, "rollback", by, note, now)
        _change(link, file, approval)
    return approval


def read_approvals(link: Path) -> tuple[Approval, ...]:
    """Return all approvals, oldest first; none where there is no file.

    Raises:
        DataError: the file is not as it was written.
    """
    try:
        with approvals_file(link).open("rb") as file:
            return _read(link, file)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DataError(f"{approvals_file(link)}: {error.strerror}") from error


def _approval(bundle: Bundle, action: Literal["approve", "rollback"], by: str, note: str, now: datetime) -> Approval:
    try:
        return Approval(
            at=now.isoformat(),
            by=by.strip(),
            action=action,
            part=bundle.recipe.part,
            bundle=bundle.id,
            folder=bundle_folder(bundle),
            note=note.strip(),
        )
    except ValidationError as error:
        raise UsageError(f"--{in_our_words(error, Approval)}") from error


def _hold(lines: Sequence[Approval]) -> tuple[Approval, ...]:
    """Return what rollbacks have left, oldest first."""
    hold: list[Approval] = []
    for line in lines:
        if line.action == "rollback":
            del hold[-1:]
        elif not hold or hold[-1].bundle != line.bundle:
            hold.append(line)
    return tuple(hold)


@contextmanager
def _held(link: Path) -> Iterator[BinaryIO]:
    """Open the file for one writer at a time; the disk's faults become ours."""
    if link.is_dir() and not link.is_symlink():
        raise UsageError(
            f"{link} is a folder, expected a link or nothing: name another place, and that one in the settings"
        )
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(approvals_file(link), os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
    except OSError as error:
        raise DiskError(f"{link}: {error.strerror or error}") from error


def _read(link: Path, file: BinaryIO) -> tuple[Approval, ...]:
    """Return what the file says; a last line without its end was cut off by a power cut, and never counted."""
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DataError(f"{approvals_file(link)}: more than {_MOST_BYTES:,} bytes; move it away")
    try:
        return tuple(Approval.model_validate_json(line) for line in content.split(b"\n")[:-1])
    except ValidationError as error:
        raise DataError(
            f"{approvals_file(link)} is not as it was written: {in_our_words(error, Approval, 'field')}"
        ) from error


def _copy(bundle: Bundle, target: Path) -> None:
    if target.exists():
        if read_bundle(target).id != bundle.id:
            raise DataError(f"{target} is another bundle: expected {bundle.id}")
        return
    with atomic.new_folder(target) as copy:
        copy_files(bundle, copy)
        open_to_readers(copy)
        read_bundle(copy)


def _change(link: Path, file: BinaryIO, approval: Approval) -> None:
    """Write the line, then move the link: what is judged by was always approved before."""
    file.seek(0)
    whole = file.read().rfind(b"\n") + 1
    file.truncate(whole)
    file.seek(whole)
    file.write(approval.model_dump_json().encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(approval.folder)
    new.replace(link)
    atomic.sync_folder(link.parent)


def _target(link: Path) -> str:
    return str(link.readlink()) if link.is_symlink() else ""
