"""Offline: from folders of pictures to a bundle, and what it is worth."""
