"""Which variables of the environment the product reads."""

from collections.abc import Iterator

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from api.settings import ApiSettings


def known_variables() -> set[str]:
    """By the settings classes, and those that they hold."""
    return set(_names(ApiSettings))


def _names(settings: type[BaseSettings]) -> Iterator[str]:
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        held = field.annotation
        if isinstance(held, type) and issubclass(held, BaseSettings):
            yield from _names(held)
            continue
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            yield from (str(choice) for choice in alias.choices)
        elif isinstance(alias, str):
            yield alias
        else:
            yield f"{prefix}{name}".upper()
