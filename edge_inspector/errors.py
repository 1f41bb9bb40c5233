"""What can go wrong, and the exit status that says so (sysexits.h)."""

from typing import ClassVar


class EdgeInspectorError(Exception):
    """A fault with a message for a technician: what was found, what was expected, what to do."""

    exit_status: ClassVar[int] = 1


class UsageError(EdgeInspectorError):
    """The command was asked for something it cannot do."""

    exit_status = 64


class DataError(EdgeInspectorError):
    """A folder of images or a bundle is not what it has to be."""

    exit_status = 65


class DiskError(EdgeInspectorError):
    """The disk is full, read-only or gone."""

    exit_status = 74


class DamagedError(DiskError):
    """A database is damaged: it is set aside at the next start."""


class SettingsError(EdgeInspectorError):
    """The settings file or the environment is not valid."""

    exit_status = 78
