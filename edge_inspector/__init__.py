"""Visual inspection for a factory PC: exactly one verdict for every part."""

__version__ = "0.1.0"
