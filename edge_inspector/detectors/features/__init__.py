"""Pretrained features, and what is fitted on them."""
