"""Write files and folders so that no reader ever sees half of one."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from edge_inspector.errors import DataError

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
"""What shares (CIFS, vboxsf, FUSE) say that cannot sync; there the server decides what a power cut undoes."""


def write_file(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: readers see the old file or the new one, also after a power cut.

    Raises:
        OSError: the disk is full, read-only or gone; the old file is untouched.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            _sync_handle(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_unsynced(path: Path, content: bytes) -> None:
    """Replace `path` by `content` as `write_file`, but leave it to the system when: a power cut may undo it.

    For images, which are large: syncing them would hold up the ledger's commits on the same disk.

    Raises:
        OSError: the disk is full, read-only or gone; the old file is untouched.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def check_new_folder(path: Path) -> None:
    """Raise before hours of work what `new_folder` would raise after them; changes nothing.

    Raises:
        DataError: `path` exists already.
        OSError: nothing can be written to where it would be.
    """
    _refuse_existing(path)
    place = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with TemporaryDirectory(prefix=".trial.", suffix=".part", dir=place):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise DataError(f"{path} exists already: name a folder that does not, a bundle is never changed")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the block ends well, and vanishes when it does not.

    Raises:
        DataError: `path` exists already; nothing that was accepted is ever overwritten.
    """
    _refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _sync(file)
        part.chmod(0o755)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut, as far as its file system can.

    Raises:
        OSError: the disk failed.
    """
    _sync(folder)


def move(source: Path, target: Path) -> None:
    """Rename a file; onto another file system it is copied, synced and only then removed.

    Raises:
        OSError: the disk is full, read-only or gone; the file is where it was.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _carry(source, target)


def _carry(source: Path, target: Path) -> None:
    part = target.with_name(f".{target.name[:40]}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, part, follow_symlinks=False)
        with suppress(OSError, OverflowError):  # a share may know neither times nor rights
            shutil.copystat(source, part, follow_symlinks=False)
        _sync(part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    source.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        _sync_handle(handle)
    finally:
        os.close(handle)


def _sync_handle(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
