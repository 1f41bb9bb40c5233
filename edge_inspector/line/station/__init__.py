"""The process and one station: wiring, the judging loops, supervision, reload."""
