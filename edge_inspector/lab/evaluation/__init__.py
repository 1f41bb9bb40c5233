"""What a bundle is worth: figures, comparison, repeatability."""
