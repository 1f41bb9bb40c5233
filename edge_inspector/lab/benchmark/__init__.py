"""Other systems' rules, and whole sets."""
