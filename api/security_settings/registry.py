"""Every security setting and every other setting of organisations and workspaces: name, default, who overrides it.

Source: controlplane contract 7.1, 7.2; DECISIONS "override categories".
"""

from dataclasses import dataclass
from enum import StrEnum

from api.metadata_schema import API_KEY_SCHEMA, WORKSPACE_SCHEMA


class Category(StrEnum):
    """What a workspace may be allowed to set for itself."""

    LOGS = "logs"
    ANALYTICS = "analytics"
    DATA_VISIBILITY = "data_visibility"
    PROMPTS = "prompts"
    CONFIGS = "configs"
    API_KEYS = "api_keys"
    VIRTUAL_KEYS = "virtual_keys"
    GUARDRAILS = "guardrails"
    INTEGRATIONS = "integrations"
    WORKSPACES = "workspaces"


CATEGORIES: tuple[Category, ...] = tuple(Category)


@dataclass(frozen=True, slots=True)
class Setting:
    """One security setting: may people of a role do something."""

    key: str
    category: Category
    default: bool
    fixed: bool = False
    """It cannot be changed."""


def _settings(category: Category, *keys: str, off: tuple[str, ...] = (), fixed: tuple[str, ...] = ()) -> list[Setting]:
    return [Setting(key, category, default=key not in off, fixed=key in fixed) for key in keys]


def _view_and_write(
    category: Category, what: str, *, members_write: bool = False, fixed: bool = False
) -> list[Setting]:
    members = f"membersWrite{what}"
    return _settings(
        category,
        f"membersView{what}",
        members,
        f"managersView{what}",
        f"managersWrite{what}",
        off=() if members_write else (members,),
        fixed=(members,) if fixed else (),
    )


SETTINGS: tuple[Setting, ...] = (
    *_settings(
        Category.LOGS,
        "managersViewLogs",
        "membersViewLogs",
        "managersViewLogMetadata",
        "membersViewLogMetadata",
        "organisationAdminsViewLogs",
        "organisationAdminsViewLogMetadata",
    ),
    *_settings(Category.ANALYTICS, "membersViewAnalytics", "managersViewAnalytics"),
    *_settings(Category.DATA_VISIBILITY, "membersViewAllData", "managersViewAllData"),
    *_view_and_write(Category.PROMPTS, "Prompts"),
    *_view_and_write(Category.CONFIGS, "Configs"),
    *_view_and_write(Category.API_KEYS, "ApiKeys", members_write=True),
    *_view_and_write(Category.VIRTUAL_KEYS, "VirtualKeys"),
    *_view_and_write(Category.GUARDRAILS, "Guardrails", fixed=True),
    *_settings(
        Category.INTEGRATIONS,
        "managersWriteWsIntegrations",
        "managersWriteWsMcpIntegrations",
        "managersWriteMcpServers",
    ),
    *_settings(Category.WORKSPACES, "managersUpdateWs", "managersWriteWsUsers"),
)
BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}


class Form(StrEnum):
    """How a value is written."""

    ZERO_OR_ONE = "0 or 1"
    TRUE_OR_FALSE = "true or false"
    WHOLE = "a whole number"
    METADATA_SCHEMA = "a JSON schema"


@dataclass(frozen=True, slots=True)
class Option:
    """One setting that is no security setting. Without a category, only the organisation has it."""

    key: str
    form: Form
    default: int | bool | None
    category: Category | None = None
    minimum: int = 0
    maximum: int = 1
    unit: str = ""


MOST_KEYS = 1_000_000
MOST_SECONDS = 10 * 366 * 86_400

OPTIONS: tuple[Option, ...] = (
    Option("debug_log", Form.ZERO_OR_ONE, 1, Category.LOGS),
    Option("user_api_key_count", Form.WHOLE, -1, Category.API_KEYS, -1, MOST_KEYS, "keys; -1 is unlimited"),
    Option("user_api_key_ttl", Form.WHOLE, 0, Category.API_KEYS, 0, MOST_SECONDS, "seconds; 0 is none"),
    Option("user_api_key_max_ttl", Form.WHOLE, 0, Category.API_KEYS, 0, MOST_SECONDS, "seconds; 0 is none"),
    Option("user_key_metadata", Form.ZERO_OR_ONE, 1, Category.API_KEYS),
    Option("user_key_metadata_override", Form.ZERO_OR_ONE, 1, Category.API_KEYS),
    Option("enforce_debug_log_setting", Form.ZERO_OR_ONE, 0),
    Option("managers_write_debug_log", Form.ZERO_OR_ONE, 1),
    Option("getting_started_enabled", Form.TRUE_OR_FALSE, default=True),
    Option("scim_organisation_provisioning", Form.TRUE_OR_FALSE, default=False),
    Option(WORKSPACE_SCHEMA, Form.METADATA_SCHEMA, None),
    Option(API_KEY_SCHEMA, Form.METADATA_SCHEMA, None),
)
BY_OPTION: dict[str, Option] = {option.key: option for option in OPTIONS}
