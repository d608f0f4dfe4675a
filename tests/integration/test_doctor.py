"""What `gateledger doctor` says of mail and Redis, each there and gone."""

from pathlib import Path

import pytest

from api.mail.settings import MailSettings, MailSwitch
from api.mail.transport import NotDelivered, Transport
from api.shared_cache import reach
from tests.factories.gateway import free_port
from tests.factories.parts import needed
from tests.factories.private_redis import redis_server
from tests.factories.private_servers import alone
from tests.factories.smtp_server import HOST, authority_in, smtp_server
from warehouse.errors import ConfigurationError

SECRET = "a-password-that-is-never-told"


def mail(port: int, **fields: object) -> Transport:
    settings: dict[str, object] = {"switch": MailSwitch.ON, "host": HOST, "port": port, "sender": "a@acme.example"}
    return Transport(MailSettings.model_validate({**settings, **fields}))


def test_a_mail_server_that_takes_mail() -> None:
    with smtp_server() as (post, port):
        mail(port).reach()
        post.wait_for(0)


def test_a_mail_server_that_nobody_vouches_for(tmp_path: Path) -> None:
    with smtp_server(implicit=authority_in(tmp_path).server) as (_, port), pytest.raises(NotDelivered, match="CERTIF"):
        mail(port, tls="implicit").reach()


def test_a_mail_server_that_is_not_there() -> None:
    with pytest.raises(NotDelivered, match="refused"):
        mail(free_port()).reach()


def test_a_redis_that_answers() -> None:
    with needed(alone(redis_server())) as server:
        reach(f"redis://{HOST}:{server.port}")


def test_a_redis_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as refused:
        reach(f"redis://user:{SECRET}@{HOST}:{free_port()}")
    assert SECRET not in str(refused.value)
