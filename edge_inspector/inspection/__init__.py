"""From the bytes of a picture to a judgement: pure, no torch, clock, disk or network."""
