"""Why a token does not count: told to the audit log, never to the caller. Source: controlplane contract 1.5, 10.4."""

from api.errors import NOT_PERMITTED, Code, Unauthorised

PREFIX = "Error Verifying JWT token: "


def mask_of_token(token: str) -> str:
    """What people see of a token: first 2 characters, 4 stars, last 2."""
    return f"{token[:2]}****{token[-2:]}"


class TokenRefused(Unauthorised):
    """The token is not one that its organisation's keys signed for now."""

    def __init__(self, why: str) -> None:
        super().__init__(reason=PREFIX + why)


class TokenOutOfReach(Unauthorised):
    """The token is good, but the workspace that it names is not there: 403."""

    code = Code.FORBIDDEN

    def __init__(self, why: str, *, organisation_id: str) -> None:
        super().__init__(NOT_PERMITTED, reason=PREFIX + why, organisation_id=organisation_id)
