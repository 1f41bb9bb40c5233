"""Folder and camera, and what names and triggers say."""
