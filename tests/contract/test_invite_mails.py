"""Mails of invites: the person gets the link, and no link leaves that works no more."""

from collections.abc import Callable, Generator
from time import monotonic
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from api.alerts.rows import Message
from api.mail.settings import MailSettings
from tests.factories.app import Installation, installed, serving
from tests.factories.smtp_server import HOST, Post, smtp_server
from tests.factories.tenant import Tenant, new_tenant

INVITES = "/v1/admin/users/invites"
PATIENCE_S = 60

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient, Post]]:
    with smtp_server() as (post, port):
        place = {"host": HOST, "port": port, "control_plane_url": "https://ledger.example/"}
        mail = MailSettings(switch="ON", sender="ledger@acme.example", **place)
        with (
            installed(tmp_path_factory.mktemp("invites"), key_cache_s=0, mail=mail) as here,
            serving(here) as client,
        ):
            yield here, client, post


@pytest.fixture
def tenant(app: tuple[Installation, TestClient, Post]) -> Tenant:
    """A new tenant, once the mails of earlier tests have left and are forgotten."""
    here, client, post = app

    def none_waits() -> bool:
        with here.database.transaction(writes=False) as session:
            return not session.scalar(select(func.count()).where(Message.status == "waiting"))

    until(post, none_waits)
    post.mails.clear()
    return new_tenant(here, client)


def until(post: Post, check: Callable[[], bool]) -> None:
    """Look again whenever a mail came, and now and then."""
    deadline = monotonic() + PATIENCE_S
    while not check():
        assert monotonic() < deadline
        post.arrived.wait(0.02)
        post.arrived.clear()


def invited(tenant: Tenant, name: str = "new") -> dict[str, Any]:
    answer = tenant.call("POST", INVITES, {"email": tenant.email(name), "role": "member", "workspaces": []})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_person_gets_the_link(tenant: Tenant, app: tuple[Installation, TestClient, Post]) -> None:
    post = app[2]
    told = invited(tenant)
    post.wait_for(1)
    again = tenant.call("POST", f"{INVITES}/{told['id']}/resend").json()
    post.wait_for(2)
    for (message, recipients), link in zip(post.mails, (told["invite_link"], again["inviteLink"]), strict=True):
        assert recipients == [told["email"]]
        plain = message.get_body(("plain",))
        assert plain is not None
        assert link in plain.get_content()
        assert message["Subject"] == f"Tenant {tenant.number} invites you to Tenant {tenant.number}"


def test_a_link_that_works_no_more_does_not_leave(tenant: Tenant, app: tuple[Installation, TestClient, Post]) -> None:
    here, _, post = app
    post.refuse += ["451 later"]

    def tried() -> list[str]:
        with here.database.transaction(writes=False) as session:
            query = select(Message.status).where(Message.recipient == told["email"], Message.lease.is_(None))
            return sorted(session.scalars(query.where(Message.attempts > 0)))

    told = invited(tenant)
    until(post, lambda: tried() == ["waiting"])
    again = tenant.call("POST", f"{INVITES}/{told['id']}/resend").json()
    until(post, lambda: tried() == ["sent", "skipped"])
    [(message, _)] = post.mails
    plain = message.get_body(("plain",))
    assert plain is not None
    assert again["inviteLink"] in plain.get_content()


def test_who_is_refused_gets_none(tenant: Tenant, app: tuple[Installation, TestClient, Post]) -> None:
    member = tenant.member("in")
    assert tenant.call("POST", INVITES, {"email": tenant.email("in"), "role": "member"}).status_code == 409
    assert tenant.get(f"/v1/admin/users/{member}")["id"] == member
    invited(tenant, "out")
    app[2].wait_for(1)
    assert [recipients for _, recipients in app[2].mails] == [[tenant.email("out")]]
