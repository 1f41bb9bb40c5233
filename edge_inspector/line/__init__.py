"""The daemon: pictures in, verdicts out, nothing lost."""
