"""Whether this computer's clock is kept right: results carry its time, and so do commands that expire."""

import ctypes
import struct

_TIMEX_BYTES = 256
"""More than `struct timex` has on any processor."""
_LIMIT_US = 16_000_000
"""The kernel's NTP_PHASE_LIMIT: at it or above, nobody has set the clock lately; `timedatectl` asks the same."""


def read_clock_error_us() -> int | None:
    """Return by how much the clock may be wrong in the kernel's eyes, microseconds; None where it does not say."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only read
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    word = struct.calcsize("l")
    return None if state < 0 else int(struct.unpack_from("l", buffer, 3 * word)[0])  # modes, offset, freq, maxerror


def describe_clock(error_us: int | None) -> tuple[bool, str]:
    """Return whether the clock is kept right, and in words."""
    remedy = "results and expiring commands go by this computer's own time: set up chrony or systemd-timesyncd"
    if error_us is None:
        return False, f"the kernel does not say whether the clock is synchronised; {remedy}"
    if error_us >= _LIMIT_US:
        return False, f"not synchronised; {remedy}"
    return True, f"synchronised, wrong by {error_us / 1000:.0f} ms at most"
