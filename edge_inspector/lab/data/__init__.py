"""Folders of images, and masks."""
