"""Convolutional autoencoders, one file a network."""
