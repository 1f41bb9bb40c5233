"""The settings as they may be shown to anybody: without passwords and names of users."""

from typing import Any

from edge_inspector.settings import HIDDEN, Settings, shown_address, without_logins


def disclosed(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values; logins and addresses are hidden by key, files of secrets are only named."""
    shown: dict[str, Any] = _without_logins(settings.model_dump(mode="json"))
    if shown["mqtt"]["username"]:
        shown["mqtt"]["username"] = HIDDEN
    return shown


def _without_logins(value: Any, key: str = "") -> Any:  # noqa: ANN401 - a JSON value is one of six kinds
    match value:
        case dict():
            return {name: _without_logins(inner, name) for name, inner in value.items()}
        case list():
            return [_without_logins(inner) for inner in value]
        case str():
            return shown_address(value) if key == "device" else without_logins(value)
        case _:
            return value
