"""The settings as they may be shown to anybody: without passwords and names of users."""

from typing import Any

from edge_inspector.settings import HIDDEN, Settings, without_logins


def disclosed(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values; logins inside addresses are hidden, files of secrets are only named."""
    shown: dict[str, Any] = _without_logins(settings.model_dump(mode="json"))
    if shown["mqtt"]["username"]:
        shown["mqtt"]["username"] = HIDDEN
    return shown


def _without_logins(value: Any) -> Any:  # noqa: ANN401 - a JSON value is one of six kinds
    match value:
        case dict():
            return {key: _without_logins(inner) for key, inner in value.items()}
        case list():
            return [_without_logins(inner) for inner in value]
        case str():
            return without_logins(value)
        case _:
            return value
