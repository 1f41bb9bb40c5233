"""Run a bundle's graphs."""
