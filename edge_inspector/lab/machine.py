"""This machine, in words: figures are worth little without it."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """Return the processor's name and how much of it is ours."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} processors"
