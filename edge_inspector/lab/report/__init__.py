"""The report of an evaluation: one HTML file to hand to a quality engineer; it needs no network and no JavaScript."""
