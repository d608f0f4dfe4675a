"""Mails from templates: HTML with a text alternative, by names that operators can override file by file.

Templates are Jinja in a sandbox with escaping on; `{{name}}` is all that most of them need. A file of the same name in
`EMAIL_TEMPLATES_PATH` wins over ours; one that cannot be rendered is told in the log, and ours is used.
Source: controlplane contract 10.5.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment

from api.mail.plain_text import text_of
from api.mail.settings import MailSettings

logger = logging.getLogger("api.mail")

BUNDLED = Path(__file__).parent / "templates"


class Template(StrEnum):
    """Every mail there is, by the name of its file."""

    USER_INVITE = "user-invite.html"
    USER_EMAIL_VERIFICATION = "user-email-verification.html"
    DOMAIN_VERIFICATION = "domain-verification-alert.html"
    VIRTUAL_KEY_THRESHOLD = "virtualkey-usage-threshold-alert.html"
    VIRTUAL_KEY_EXHAUSTED = "virtualkey-usage-exhausted-alert.html"
    VIRTUAL_KEY_EXPIRED = "virtualkey-expired-alert.html"
    API_KEY_THRESHOLD = "apikey-usage-threshold-alert.html"
    API_KEY_EXHAUSTED = "apikey-usage-exhausted-alert.html"
    API_KEY_EXPIRED = "apikey-expired-alert.html"
    API_KEY_ROTATED = "apikey-rotated-alert.html"
    ENTITY_THRESHOLD = "entity-usage-threshold-alert.html"
    ENTITY_EXHAUSTED = "entity-usage-exhausted-alert.html"
    ENTITY_EXPIRED = "entity-expired-alert.html"


SUBJECTS: Mapping[Template, str] = {
    Template.USER_INVITE: "{{inviterUserName}} invites you to {{organisationName}}",
    Template.USER_EMAIL_VERIFICATION: "Confirm your e-mail address for {{companyName}}",
    Template.DOMAIN_VERIFICATION: "Verify that {{domain}} is yours",
    Template.VIRTUAL_KEY_THRESHOLD: "{{virtualKeyName}} has reached its alert threshold",
    Template.VIRTUAL_KEY_EXHAUSTED: "{{virtualKeyName}} has used up its budget",
    Template.VIRTUAL_KEY_EXPIRED: "{{virtualKeyName}} has expired",
    Template.API_KEY_THRESHOLD: "API key {{apiKey}} has reached its alert threshold",
    Template.API_KEY_EXHAUSTED: "API key {{apiKey}} has used up its budget",
    Template.API_KEY_EXPIRED: "API key {{apiKey}} has expired",
    Template.API_KEY_ROTATED: "API key {{apiKey}} has a new secret",
    Template.ENTITY_THRESHOLD: "{{entityName}} has reached its alert threshold",
    Template.ENTITY_EXHAUSTED: "{{entityName}} has used up its budget",
    Template.ENTITY_EXPIRED: "{{entityName}} has expired",
}
_ABOUT = {"userName", "organisationName"}
_OF_A_BUDGET = {"creditThreshold", "creditLimit"}


def _alerts(threshold: Template, exhausted: Template, expired: Template, *names: str) -> dict[Template, frozenset[str]]:
    about = frozenset(_ABOUT | set(names))
    return {threshold: about | _OF_A_BUDGET, exhausted: about | _OF_A_BUDGET, expired: about}


VALUES: Mapping[Template, frozenset[str]] = {
    Template.USER_INVITE: frozenset({"organisationName", "inviterUserName", "inviterEmail", "inviteLink"}),
    Template.USER_EMAIL_VERIFICATION: frozenset({"verificationLink"}),
    Template.DOMAIN_VERIFICATION: frozenset({"domain", "verificationCode"}),
    **_alerts(
        Template.VIRTUAL_KEY_THRESHOLD,
        Template.VIRTUAL_KEY_EXHAUSTED,
        Template.VIRTUAL_KEY_EXPIRED,
        "virtualKeyName",
    ),
    **_alerts(Template.API_KEY_THRESHOLD, Template.API_KEY_EXHAUSTED, Template.API_KEY_EXPIRED, "apiKey", "apiKeyType"),
    Template.API_KEY_ROTATED: frozenset(_ABOUT | {"apiKey", "apiKeyType", "transitionExpiresAt"}),
    **_alerts(
        Template.ENTITY_THRESHOLD, Template.ENTITY_EXHAUSTED, Template.ENTITY_EXPIRED, "entityName", "entityType"
    ),
}
"""What each template names, beside the branding."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One mail's words."""

    subject: str
    html: str
    text: str


class Templates:
    """The bundled templates under those of the operator."""

    def __init__(self, settings: MailSettings) -> None:
        self._branding = {
            "companyName": settings.company_name,
            "logoUrl": settings.logo_url or "",
            "supportEmail": settings.support_email or "",
            "docsUrl": settings.docs_url or "",
            "controlPlaneUrl": settings.control_plane_url,
        }
        self._bundled = _environment(FileSystemLoader(BUNDLED))
        own = settings.templates_path
        self._chosen = _environment(_own_first(own)) if own is not None else self._bundled

    def render(self, template: Template, values: Mapping[str, str]) -> Rendered:
        """The mail with these values. Raises: ValueError when a value that the template needs is missing."""
        missing = VALUES[template] - values.keys()
        if missing:
            raise ValueError(f"{template.value} needs {', '.join(sorted(missing))}")
        known = {**self._branding, **values}
        html = self._html(template, known)
        # Headers are text, not HTML: escaping there would show as &amp;.
        subject = self._bundled.overlay(autoescape=False).from_string(SUBJECTS[template]).render(known)
        return Rendered(subject, html, text_of(html))

    def _html(self, template: Template, values: Mapping[str, str]) -> str:
        try:
            return self._chosen.get_template(template.value).render(values)
        except Exception:
            if self._chosen is self._bundled:
                raise
            # A template is a small program of the operator's: it can fail in any way, and the mail must still leave.
            logger.exception("EMAIL_TEMPLATES_PATH: %s cannot be rendered; ours is used instead", template.value)
            return self._bundled.get_template(template.value).render(values)


def _own_first(folder: Path) -> BaseLoader:
    return ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(BUNDLED)])


def _environment(loader: BaseLoader) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
