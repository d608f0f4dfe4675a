"""The matrix of roles and security settings (controlplane contract 1.6, 7.1, 7.3), written down a second time."""

from api.security_settings.registry import SETTINGS

DEFAULTS = {setting.key: setting.default for setting in SETTINGS}
ALL_ON, ALL_OFF = dict.fromkeys(DEFAULTS, True), dict.fromkeys(DEFAULTS, False)

WRITES = ("create", "update", "delete")
BOTH: dict[str, str] = {
    **{f"prompts.{verb}": "ViewPrompts" for verb in ("read", "list")},
    **{f"prompts.{verb}": "WritePrompts" for verb in (*WRITES, "publish")},
    **{f"configs.{verb}": "ViewConfigs" for verb in ("read", "list")},
    **{f"configs.{verb}": "WriteConfigs" for verb in WRITES},
    **{f"guardrails.{verb}": "ViewGuardrails" for verb in ("read", "list")},
    **{f"guardrails.{verb}": "WriteGuardrails" for verb in WRITES},
    **{f"providers.{verb}": "ViewVirtualKeys" for verb in ("read", "list")},
    **{f"providers.{verb}": "WriteVirtualKeys" for verb in WRITES},
    **{f"virtual_keys.{verb}": "ViewVirtualKeys" for verb in ("read", "list", "copy")},
    **{f"virtual_keys.{verb}": "WriteVirtualKeys" for verb in (*WRITES, "duplicate")},
    "logs.list": "ViewLogMetadata",
}
"""Scope → the setting that decides, after `members` or `managers`."""
MANAGERS: dict[str, str] = {
    "workspaces.update": "managersUpdateWs",
    **{f"workspace_users.{verb}": "managersWriteWsUsers" for verb in WRITES},
    **{f"policies.{verb}": "managersUpdateWs" for verb in WRITES},
    **{f"workspace_integrations.{verb}": "managersWriteWsIntegrations" for verb in WRITES},
    **{f"workspace_mcp_integrations.{verb}": "managersWriteWsMcpIntegrations" for verb in WRITES},
    **{f"workspace_agent_integrations.{verb}": "managersWriteWsMcpIntegrations" for verb in WRITES},
    **{f"mcp_servers.{verb}": "managersWriteMcpServers" for verb in WRITES},
    **{f"agent_servers.{verb}": "managersWriteMcpServers" for verb in WRITES},
}
"""Scope → the setting that lets managers; members never may."""


def allowed(scope: str, role: str, settings: dict[str, bool]) -> bool:
    """The matrix."""
    who = f"{role}s"
    if scope in BOTH:
        return settings[who + BOTH[scope]]
    if scope in MANAGERS:
        return role == "manager" and settings[MANAGERS[scope]]
    logs, metadata = settings[f"{who}ViewLogs"], settings[f"{who}ViewLogMetadata"]
    match scope:
        case "analytics.view":
            return settings[f"{who}ViewAnalytics"] and metadata
        case "logs.view":
            return logs or metadata
        case "logs.export":
            return logs and metadata
        case _:
            return True


def variants() -> list[dict[str, bool]]:
    """The defaults, everything on, everything off, and each setting alone the other way than the rest."""
    alone = [{**ALL_ON, key: False} for key in DEFAULTS] + [{**ALL_OFF, key: True} for key in DEFAULTS]
    return [DEFAULTS, ALL_ON, ALL_OFF, *alone]
