"""What a training did, row by row: for people and the report, nothing decides by it."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class History:
    """Quantities over the steps of a training; `val_x` is `x` on images that did not train."""

    columns: tuple[str, ...] = ()
    """The first counts steps."""
    rows: tuple[tuple[float, ...], ...] = ()

    def as_csv(self) -> bytes:
        """Return a head and a line for each row."""
        lines = [",".join(self.columns), *(",".join(f"{value:.6g}" for value in row) for row in self.rows)]
        return ("\n".join(lines) + "\n").encode()

    def as_json(self) -> bytes:
        """Return a list for each column, as Keras' histories are."""
        columns = zip(*self.rows, strict=True)
        values = {name: list(column) for name, column in zip(self.columns, columns, strict=True)}
        return json.dumps(values, indent=1, allow_nan=False).encode() + b"\n"
