"""The daemon: images in, verdicts out, nothing lost."""
