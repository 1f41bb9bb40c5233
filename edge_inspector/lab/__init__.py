"""Offline: from folders of images to a bundle, and what it is worth."""
