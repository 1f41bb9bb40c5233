"""How many commands are listened to: each one costs the disk a commit."""

from dataclasses import dataclass


@dataclass(slots=True)
class Throttle:
    """Lets `burst` through at once and `per_s` a second after that; belongs to one thread."""

    per_s: float
    burst: float
    left: float
    at_ns: int
    """Monotonic."""

    def lets_through(self, now_ns: int) -> bool:
        """Say whether one more may pass now."""
        self.left = min(self.burst, self.left + (now_ns - self.at_ns) / 1e9 * self.per_s)
        self.at_ns = now_ns
        if self.left < 1:
            return False
        self.left -= 1
        return True
