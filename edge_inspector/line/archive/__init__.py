"""Images of judged parts, and digests of what judged them."""
