"""Who makes the sample's requests: workspaces, keys, users, configs and prompts, derived from the seed."""

from dataclasses import dataclass

from warehouse.sample.draws import Draws, zipf
from warehouse.sample.spec import SampleSpec

_DERIVED_WORKSPACES = ("default",)
_APPS = (
    "support-bot",
    "search",
    "code-review",
    "summaries",
    "sales-assistant",
    "data-extraction",
    "research-agent",
    "ocr",
)
_TEAMS = ("platform", "support", "growth", "data", "research")
_FIRST = ("ada", "bo", "chen", "dana", "eli", "fatima", "goran", "hana", "ivo", "jules", "kofi", "lena", "maya", "noor")
_LAST = ("alves", "berg", "costa", "diaz", "eriksen", "fischer", "garcia", "haddad", "ito", "jansen", "kim", "lopez")
KEYS_PER_WORKSPACE = 4
END_USERS = 400


@dataclass(frozen=True, slots=True)
class App:
    """One API key and the application behind it."""

    workspace: str
    api_key_id: str
    user_id: str | None
    name: str
    team: str
    environment: str
    config: str
    config_id: str
    config_version_id: str
    routing: str
    """Mode of its config: single, fallback or loadbalance."""
    cache: str | None
    """Gateway cache of its config: simple, semantic or none."""
    retries: int
    prompt: str | None
    prompt_id: str | None
    prompt_version_id: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class World:
    """Everything a request may name."""

    organisation_id: str
    named_organisation: bool
    named_workspaces: bool
    workspaces: tuple[str, ...]
    apps: tuple[App, ...]
    end_users: tuple[str, ...]


def world_of(spec: SampleSpec) -> World:
    """The world of a spec; the same for the same seed."""
    draws = Draws(spec.seed)
    workspaces = spec.workspaces or _DERIVED_WORKSPACES
    weights = zipf(len(workspaces), 0.8)
    apps = [
        _app(draws, slug, at, key, weights[at])
        for at, slug in enumerate(workspaces)
        for key in enumerate(spec.api_keys.get(slug) or _derived_keys(draws, slug))
    ]
    people = [f"{first}.{last}@example.com" for last in _LAST for first in _FIRST]
    start = draws.key("people")
    return World(
        organisation_id=spec.organisation_id or draws.text_uuid("organisation"),
        named_organisation=spec.organisation_id is not None,
        named_workspaces=spec.workspaces is not None,
        workspaces=tuple(workspaces),
        apps=tuple(apps),
        end_users=tuple(
            people[(start + at * 37) % len(people)] if at < len(people) else f"user-{at}" for at in range(END_USERS)
        ),
    )


def _derived_keys(draws: Draws, workspace: str) -> tuple[str, ...]:
    return tuple(draws.text_uuid(f"api key/{workspace}/{at}") for at in range(KEYS_PER_WORKSPACE))


def _app(draws: Draws, workspace: str, at: int, key: tuple[int, str], weight: float) -> App:
    number, api_key_id = key
    lot = draws.key(f"app/{workspace}/{number}")
    name = _APPS[(at * KEYS_PER_WORKSPACE + number) % len(_APPS)]
    config, prompt = f"pc-{name}-{lot & 0xFFF:03x}", f"{name}-v{1 + (lot >> 40) % 3}" if (lot >> 48) % 4 else None
    environment = ("production", "production", "staging", "development")[number % 4]
    return App(
        workspace=workspace,
        api_key_id=api_key_id,
        # Every third key belongs to a person, the others to services.
        user_id=draws.text_uuid(f"user/{workspace}/{number}") if lot % 3 == 0 else None,
        name=name,
        team=_TEAMS[(lot >> 8) % len(_TEAMS)],
        environment=environment,
        config=config,
        config_id=draws.text_uuid(f"config/{config}"),
        config_version_id=draws.text_uuid(f"config version/{config}"),
        routing=("single", "fallback", "loadbalance")[(lot >> 16) % 3],
        cache=(None, "simple", "semantic")[(lot >> 24) % 3],
        retries=(0, 3)[(lot >> 32) % 2],
        prompt=prompt,
        prompt_id=prompt and draws.text_uuid(f"prompt/{prompt}"),
        prompt_version_id=prompt and draws.text_uuid(f"prompt version/{prompt}"),
        weight=weight / (number + 1),
    )
