"""The kind `memory`: density-weighted memories of patches, their places, and the image as a whole."""
