"""Images to train from, with and without the daemon."""
