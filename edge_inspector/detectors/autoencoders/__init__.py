"""Networks that reconstruct a part, and what they cannot reconstruct."""
