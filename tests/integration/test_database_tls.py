"""Every mode of `DB_SSL` against real servers: who is let in, how, and what a refusal says."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from api.database_refusals import refusal as refusal_of
from api.database_settings import DatabaseSettings, DatabaseTls, TlsMode
from api.database_tls import RDS_BUNDLE, connect_arguments
from api.db import Database
from tests.factories import private_mariadb, private_postgres
from tests.factories.certificates import Authority
from tests.factories.gateway import free_port
from tests.factories.parts import lacking, needed
from tests.factories.private_servers import PASSWORD, USER, Server, given_to, server_user, shared
from warehouse.errors import ConfigurationError

pytestmark = pytest.mark.one_database
STRANGER = "stranger"
GOOD_NAME, WRONG_NAME = "localhost", "127.0.0.1"
ENCRYPTED_ONLY, WITH_CERTIFICATE = "encrypted_only", "with_certificate"


@dataclass(frozen=True)
class Place:
    """A server with TLS for `localhost`, and one without TLS."""

    kind: str
    secure: Server
    plain: Server

    @property
    def certificates(self) -> Path:
        return self.secure.folder

    def path(self, name: str) -> str:
        return str(self.certificates / name)

    def open(self, mode: str, host: str = GOOD_NAME, *, user: str = USER, plain: bool = False, **pem: str) -> Database:
        server = self.plain if plain else self.secure
        url = URL.create(self.kind, user, PASSWORD, host, server.port, "control_plane")
        return Database(url, tls=tls(mode, **pem))


def tls(mode: str | None, *, ca: str | None = None, cert: str | None = None, key: str | None = None) -> DatabaseTls:
    secrets = {name: SecretStr(pem) if pem else None for name, pem in (("authority", ca), ("key", key))}
    return DatabaseTls(mode=mode, certificate=SecretStr(cert) if cert else None, **secrets)  # type: ignore[arg-type]


def write_certificates(folder: Path) -> None:
    authority = Authority(folder, "our")
    authority.signed("server", hosts=(GOOD_NAME,))
    authority.signed("client")
    Authority(folder, STRANGER).signed("strange-client")


def secure_mariadb(folder: Path) -> Server:
    write_certificates(folder)
    files = (f"--ssl-cert={folder / 'server.pem'}", f"--ssl-key={folder / 'server.key'}")
    server = private_mariadb.mariadb(f"--ssl-ca={folder / 'our-ca.pem'}", *files)(folder)
    with private_mariadb.as_root(folder / "sock") as connection, connection.cursor() as cursor:
        for user, requires in ((ENCRYPTED_ONLY, "SSL"), (WITH_CERTIFICATE, "X509")):
            cursor.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE {requires}")
            cursor.execute(f"GRANT ALL ON control_plane.* TO '{user}'@'%'")
    return server


def secure_postgres(folder: Path) -> Server:
    write_certificates(folder)
    given_to(server_user("postgres"), *folder.glob("*.pem"), *folder.glob("*.key"))
    access = (
        f"hostnossl all {ENCRYPTED_ONLY},{WITH_CERTIFICATE} 127.0.0.1/32 reject\n"
        f"hostssl all {WITH_CERTIFICATE} 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
    )
    files = {"ssl_cert_file": folder / "server.pem", "ssl_key_file": folder / "server.key"}
    files["ssl_ca_file"] = folder / "our-ca.pem"
    server = private_postgres.postgres(access, ssl="on", **{name: str(path) for name, path in files.items()})(folder)
    with private_postgres.as_root(folder, server.port) as connection:
        for user in (ENCRYPTED_ONLY, WITH_CERTIFICATE):
            connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
    return server


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    kind = request.param
    secure = {"mariadb": secure_mariadb, "postgresql": secure_postgres}[kind]
    plain = {"mariadb": private_mariadb.mariadb("--skip-ssl"), "postgresql": private_postgres.postgres()}[kind]
    with needed(shared(f"{kind}-tls", secure)) as first, needed(shared(f"{kind}-plain", plain)) as second:
        yield Place(kind, first, second)


def is_encrypted(database: Database) -> bool:
    """Whether a new connection is; the server says."""
    with closing(database), database.engine.connect() as connection:
        if database.engine.dialect.name == "postgresql":
            return bool(connection.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")))
        return bool(connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1])


def refusal(database: Database) -> str:
    """What a refused connection says; never with the password."""
    with closing(database), pytest.raises(ConfigurationError) as error:
        database.reach()
    said = str(error.value)
    assert PASSWORD not in said
    return said


class TestLetIn:
    def test_without_tls(self, place: Place) -> None:
        assert not is_encrypted(place.open("DISABLED"))
        assert not is_encrypted(place.open("DISABLED", plain=True))

    def test_with_tls_where_there_is_some(self, place: Place) -> None:
        assert is_encrypted(place.open("PREFERRED", WRONG_NAME))
        assert not is_encrypted(place.open("PREFERRED", plain=True))

    def test_with_tls_whoever_the_server_is(self, place: Place) -> None:
        assert is_encrypted(place.open("REQUIRED", WRONG_NAME))

    def test_by_an_authority_whatever_the_name(self, place: Place) -> None:
        assert is_encrypted(place.open("VERIFY_CA", WRONG_NAME, ca=place.path("our-ca.pem")))

    @pytest.mark.parametrize("mode", ["VERIFY_IDENTITY", "Amazon RDS"])
    def test_by_an_authority_and_the_name(self, place: Place, mode: str) -> None:
        assert is_encrypted(place.open(mode, ca=place.path("our-ca.pem")))

    def test_by_a_bundle_of_many_authorities(self, place: Place, tmp_path: Path) -> None:
        bundle = tmp_path / "global-bundle.pem"
        bundle.write_text("".join(Path(place.path(f"{name}-ca.pem")).read_text() for name in (STRANGER, "our")))
        assert is_encrypted(place.open("Amazon RDS", ca=str(bundle)))

    @pytest.mark.parametrize("mode", ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY", "Amazon RDS"])
    @pytest.mark.parametrize("as_content", [True, False], ids=["content", "path"])
    def test_with_a_client_certificate(self, place: Place, mode: str, as_content: bool) -> None:
        pem = {"cert": place.path("client.pem"), "key": place.path("client.key")}
        if mode != "REQUIRED":
            pem["ca"] = place.path("our-ca.pem")
        if as_content:
            # An environment file often carries the line ends of a PEM as two characters.
            pem = {name: Path(path).read_text().replace("\n", "\\n") for name, path in pem.items()}
        assert is_encrypted(place.open(mode, user=WITH_CERTIFICATE, **pem))


class TestRefused:
    @pytest.mark.parametrize("mode", ["VERIFY_IDENTITY", "Amazon RDS"])
    def test_a_wrong_name(self, place: Place, mode: str) -> None:
        said = refusal(place.open(mode, WRONG_NAME, ca=place.path("our-ca.pem")))
        assert f"DB_SSL={mode}" in said
        assert "trusted but not made out for '127.0.0.1'" in said

    @pytest.mark.parametrize("mode", ["VERIFY_CA", "VERIFY_IDENTITY", "Amazon RDS"])
    def test_a_wrong_authority(self, place: Place, mode: str) -> None:
        said = refusal(place.open(mode, ca=place.path(f"{STRANGER}-ca.pem")))
        assert f"DB_SSL={mode}" in said
        assert "not signed by an authority we trust" in said

    @pytest.mark.parametrize("mode", ["VERIFY_CA", "VERIFY_IDENTITY"])
    def test_an_authority_that_the_machine_does_not_know(self, place: Place, mode: str) -> None:
        if not Path(ssl.get_default_verify_paths().openssl_cafile).exists():
            lacking("this machine has no file of trusted authorities")
        assert "not signed by an authority we trust" in refusal(place.open(mode))

    @pytest.mark.parametrize("mode", ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY", "Amazon RDS"])
    def test_no_tls_on_the_server(self, place: Place, mode: str) -> None:
        ca = {} if mode == "REQUIRED" else {"ca": place.path("our-ca.pem")}
        said = refusal(place.open(mode, plain=True, **ca))
        assert f"DB_SSL={mode}" in said
        assert "it offers no TLS" in said

    def test_a_client_certificate_is_required(self, place: Place) -> None:
        assert "client certificate" in refusal(place.open("REQUIRED", user=WITH_CERTIFICATE))

    def test_a_client_certificate_of_a_stranger(self, place: Place) -> None:
        pem = {"cert": place.path("strange-client.pem"), "key": place.path("strange-client.key")}
        said = refusal(place.open("REQUIRED", user=WITH_CERTIFICATE, **pem))
        assert "DB_SSL=REQUIRED" in said
        assert "does not accept the client certificate" in said

    def test_a_certificate_whose_time_is_over(self) -> None:
        met = ssl.SSLCertVerificationError(1, "certificate verify failed")
        met.verify_code, met.verify_message = 10, "certificate has expired"
        said = refusal_of(make_url("mysql://u@h/d"), TlsMode.VERIFY_CA, met)
        assert "out of date (certificate has expired)" in said

    def test_tls_is_required(self, place: Place) -> None:
        said = refusal(place.open("DISABLED", user=ENCRYPTED_ONLY))
        assert "TLS" in said
        assert "DB_SSL" in said

    def test_a_wrong_password(self, place: Place) -> None:
        url = URL.create(place.kind, USER, "not-the-password", GOOD_NAME, place.secure.port, "control_plane")
        said = refusal(Database(url, tls=tls("REQUIRED")))
        assert f"user '{USER}' was denied" in said
        assert "not-the-password" not in said

    def test_nobody_there(self, place: Place) -> None:
        port = free_port()
        url = URL.create(place.kind, USER, PASSWORD, "127.0.0.1", port, "control_plane")
        assert f"127.0.0.1:{port} (DB_SSL=REQUIRED)" in refusal(Database(url, tls=tls("REQUIRED")))


class TestSettings:
    @pytest.mark.parametrize("spelling", ["Amazon RDS", "amazon rds", "AMAZON_RDS", " Amazon-RDS "])
    def test_any_spelling_of_a_mode(self, spelling: str) -> None:
        assert tls(spelling).mode is TlsMode.AMAZON_RDS

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"mode": "MAYBE"}, "PREFERRED"),
            ({"mode": "REQUIRED", "cert": "x"}, "belong together"),
            ({"mode": "PREFERRED", "cert": "x", "key": "y"}, "DB_SSL_CERT needs"),
            ({"mode": "REQUIRED", "ca": "x"}, "nothing is checked with it"),
            ({"mode": None, "ca": "x"}, "nothing is checked with it"),
        ],
    )
    def test_what_does_not_fit_together(self, fields: dict[str, str], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            tls(**fields)

    @pytest.mark.parametrize(
        ("url", "fields", "message"),
        [
            ("mysql://u@h/d", {"mode": "Amazon RDS"}, RDS_BUNDLE),
            ("mysql://u@h/d", {"mode": "VERIFY_CA", "ca": "/absent.pem"}, "DB_SSL_CA: /absent.pem cannot be read"),
            ("mysql://u@h/d", {"mode": "VERIFY_CA", "ca": "-----BEGIN nonsense"}, "DB_SSL_CA holds no certificate"),
            ("postgresql://u@h/d", {"mode": "VERIFY_CA", "ca": "-----BEGIN no"}, "DB_SSL_CA holds no certificate"),
            ("sqlite:///x.db", {"mode": "REQUIRED"}, "SQLite file"),
        ],
    )
    def test_what_cannot_work_is_said_at_the_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, fields: dict[str, str], message: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match=message.replace(".", r"\.")):
            Database(url, tls=tls(**fields))

    def test_content_lies_in_private_files_as_long_as_the_database_is_open(self, tmp_path: Path) -> None:
        write_certificates(tmp_path)
        pem = {"ca": "our-ca.pem", "cert": "client.pem", "key": "client.key"}
        content = {name: (tmp_path / file).read_text() for name, file in pem.items()}
        with ExitStack() as opened:
            arguments = connect_arguments(make_url("postgresql://u@h/d"), tls("VERIFY_IDENTITY", **content), opened)
            files = [Path(arguments[name]) for name in ("sslrootcert", "sslcert", "sslkey")]
            assert [file.read_text() for file in files] == list(content.values())
            assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
            assert oct(files[0].parent.stat().st_mode & 0o777) == "0o700"
        assert not files[0].parent.exists()

    def test_a_certificate_that_is_not_the_keys(self, tmp_path: Path) -> None:
        write_certificates(tmp_path)
        pem = {"cert": str(tmp_path / "client.pem"), "key": str(tmp_path / "server.key")}
        with pytest.raises(ConfigurationError, match="not a certificate and its key"):
            Database("mysql://u@h/d", tls=tls("REQUIRED", **pem))

    def test_the_variables_name_a_database(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("DATABASE_URL", raising=False)
        given = {
            "HOST": "db.example",
            "PORT": "3307",
            "NAME": "cp",
            "USER": "gl",
            "PASS": "p@ss/word",
            "SSL": "REQUIRED",
        }
        for name, value in given.items():
            monkeypatch.setenv(f"DB_{name}", value)
        settings = DatabaseSettings()
        assert settings.resolved_url(tmp_path) == URL.create("mysql", "gl", "p@ss/word", "db.example", 3307, "cp")
        assert settings.tls.mode is TlsMode.REQUIRED
        assert "p@ss" not in repr(settings)
        monkeypatch.setenv("DB_TYPE", "postgresql")
        monkeypatch.setenv("DB_HOST", "/run/postgresql")
        assert DatabaseSettings().resolved_url(tmp_path).query == {"host": "/run/postgresql"}
        monkeypatch.setenv("DATABASE_URL", "sqlite:///x.db")
        assert DatabaseSettings().resolved_url(tmp_path).get_backend_name() == "sqlite"
        monkeypatch.delenv("DATABASE_URL")
        monkeypatch.delenv("DB_NAME")
        with pytest.raises(ConfigurationError, match="DB_NAME is needed"):
            DatabaseSettings().resolved_url(tmp_path)
