"""Which settings count in a workspace, and what a workspace may set itself. Source: controlplane contract 7.3.

The organisation's value counts unless the category may be overridden and the workspace has a value of its own.
"""

from collections.abc import Mapping
from typing import Any

from api.errors import Forbidden, InvalidRequest
from api.organisations.rows import Organisation
from api.security_settings import values
from api.security_settings.registry import BY_KEY, BY_OPTION, OPTIONS, SETTINGS, Category
from api.workspaces.rows import Workspace

FIELDS = ("security_settings", "settings")
"""What `change_workspace` reads of a body."""
MANAGER = "manager"


def effective(organisation: Organisation, workspace: Workspace | None = None) -> dict[str, bool]:
    """Every security setting as it counts in the workspace, or, without one, as the organisation has it."""
    own = workspace.security_settings if workspace is not None else None
    return resolved(organisation.security_settings, organisation.workspace_overrides, own)


def resolved(
    organisation: Mapping[str, Any], overrides: Mapping[str, Any], workspace: Mapping[str, Any] | None
) -> dict[str, bool]:
    """The same from what is stored."""
    own = workspace or {}
    return {
        setting.key: bool(
            own[setting.key]
            if setting.key in own and overrides.get(setting.category)
            else organisation.get(setting.key, setting.default)
        )
        for setting in SETTINGS
    }


def organisation_settings(organisation: Organisation) -> dict[str, Any]:
    """Every other setting as the organisation has it."""
    return {option.key: organisation.settings.get(option.key, option.default) for option in OPTIONS}


def effective_settings(organisation: Organisation, workspace: Workspace | None = None) -> dict[str, Any]:
    """Every other setting that workspaces have, as it counts. Shape: controlplane contract 7.2."""
    at_organisation = organisation_settings(organisation)
    own = (workspace.settings if workspace is not None else None) or {}
    return {
        option.key: own[option.key]
        if option.key in own and _overridable(organisation, option.key)
        else at_organisation[option.key]
        for option in OPTIONS
        if option.category
    }


def change_workspace(
    organisation: Organisation, workspace: Workspace, body: Mapping[str, Any], *, workspace_role: str | None = None
) -> None:
    """Keep what a body sets of a workspace's `security_settings` and `settings`; other keys are not read.

    A value that counts already is no change, so a client may send back what it read.
    Raises: InvalidRequest for an unknown name or value, and for a section that workspaces do not set themselves;
    Forbidden for a manager who may not switch request logging.
    """
    if "security_settings" in body:
        _change_security(organisation, workspace, body["security_settings"])
    if "settings" in body:
        _change_settings(organisation, workspace, body["settings"], workspace_role)


def check_ttls(counting: Mapping[str, Any]) -> None:
    """Nothing, when keys may live as long as they do by default. Raises: InvalidRequest."""
    ttl, most = counting["user_api_key_ttl"], counting["user_api_key_max_ttl"]
    if ttl and most and ttl > most:
        raise InvalidRequest(f"settings.user_api_key_ttl ({ttl} s) is more than user_api_key_max_ttl ({most} s)")


def _change_security(organisation: Organisation, workspace: Workspace, given: object) -> None:
    if given is None:
        workspace.security_settings = None
        return
    counting = effective(organisation, workspace)
    changes = values.security_settings(given)
    kept: dict[str, Any] = {}
    for name, value in changes.items():
        category = BY_KEY[name].category
        if organisation.workspace_overrides.get(category):
            kept[name] = value
        elif value is not None and value is not counting[name]:
            raise _not_overridden("security_settings", name, category)
    workspace.security_settings = values.merged(workspace.security_settings, kept) or None


def _change_settings(organisation: Organisation, workspace: Workspace, given: object, role: str | None) -> None:
    if given is None:
        workspace.settings = None
        return
    counting = effective_settings(organisation, workspace)
    kept: dict[str, Any] = {}
    for name, value in values.options(given, workspace=True).items():
        if name == "debug_log" and value != counting[name]:
            _check_logging(organisation, role)
        if _overridable(organisation, name):
            kept[name] = value
        elif value is not None and value != counting[name]:
            raise _not_overridden("settings", name, BY_OPTION[name].category)
    before = workspace.settings
    workspace.settings = values.merged(before, kept) or None
    try:
        check_ttls(effective_settings(organisation, workspace))
    except InvalidRequest:
        workspace.settings = before
        raise


def _check_logging(organisation: Organisation, role: str | None) -> None:
    if role == MANAGER and not organisation_settings(organisation)["managers_write_debug_log"]:
        raise Forbidden("settings.debug_log: managers may not switch request logging in this organisation")


def _overridable(organisation: Organisation, name: str) -> bool:
    if name == "debug_log" and organisation_settings(organisation)["enforce_debug_log_setting"]:
        return False
    return bool(organisation.workspace_overrides.get(BY_OPTION[name].category or ""))


def _not_overridden(field: str, name: str, category: Category | None) -> InvalidRequest:
    return InvalidRequest(
        f"{field}.{name}: section '{category}' is set by the organisation; "
        f"workspace_overrides.{category} must be true before a workspace sets it"
    )
