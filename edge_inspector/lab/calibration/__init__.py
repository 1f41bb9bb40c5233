"""From scores of good images to a limit and its card."""
