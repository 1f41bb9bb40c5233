"""From the bytes of an image to a judgement: pure, no torch, clock, disk or network."""
