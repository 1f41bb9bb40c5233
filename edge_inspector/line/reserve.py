"""A file that holds disk space back, to be given up when the disk is full: then verdicts still have room."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reserve:
    """The file `reserve` beside a ledger."""

    path: Path

    def free(self) -> bool:
        """Give the space up; says whether there was any."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def is_held(self) -> bool:
        """Whether the space is still held back."""
        return self.path.exists()

    def hold(self, size: int) -> bool:
        """Hold `size` bytes back; says whether the disk had them."""
        part = self.path.with_name(f"{self.path.name}.part")
        try:
            with part.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            part.replace(self.path)
        except OSError:
            with suppress(OSError):  # what is in its place may be no file at all
                part.unlink(missing_ok=True)
            return False
        return True
