"""`patchsearch tls` and `patchsearch token`."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from patchsearch.cli.app import run
from service_runtime.roles import Role
from service_runtime.token_file import Quota, hash_of, read_tokens


def loaded(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


def test_tls_init_makes_an_authority_and_what_it_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "tls"

    status = run(
        [
            *("tls", "init", str(target), "--days", "30"),
            *("--host", "router", "--host", "10.0.0.7", "--host", "*.shards.svc"),
        ]
    )

    assert status == 0
    said = capsys.readouterr().out
    expected = {"ca", "client", "router", "10.0.0.7", "wildcard.shards.svc"}
    assert {path.name for path in target.iterdir()} == {
        f"{name}.{kind}" for name in expected for kind in ("crt", "key")
    }
    assert all(str(path) in said for path in target.iterdir())
    for path in target.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    authority = loaded(target / "ca.crt")
    assert names(loaded(target / "router.crt")) == ["router", "localhost", "127.0.0.1"]
    assert names(loaded(target / "10.0.0.7.crt"))[0] == "10.0.0.7"
    assert names(loaded(target / "wildcard.shards.svc.crt"))[0] == "*.shards.svc"
    for name in expected - {"ca"}:
        certificate = loaded(target / f"{name}.crt")
        certificate.verify_directly_issued_by(authority)
        until = certificate.not_valid_after_utc
        assert timedelta(days=29) < until - datetime.now(UTC) <= timedelta(days=30)
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert (ExtendedKeyUsageOID.SERVER_AUTH in uses) is (name != "client")
        assert ExtendedKeyUsageOID.CLIENT_AUTH in uses


def test_run_again_it_renews_under_the_same_authority(tmp_path: Path) -> None:
    assert run(["tls", "init", str(tmp_path), "--host", "router"]) == 0
    authority, before = (tmp_path / "ca.crt").read_bytes(), loaded(tmp_path / "router.crt")

    assert run(["tls", "init", str(tmp_path), "--host", "router", "--host", "shard-0"]) == 0

    assert (tmp_path / "ca.crt").read_bytes() == authority
    after = loaded(tmp_path / "router.crt")
    assert after.serial_number != before.serial_number
    after.verify_directly_issued_by(loaded(tmp_path / "ca.crt"))
    loaded(tmp_path / "shard-0.crt").verify_directly_issued_by(loaded(tmp_path / "ca.crt"))


@pytest.mark.parametrize("host", ["", "a/b", "../up", "ca", "client", "two words", "-x"])
def test_tls_init_refuses_what_is_no_host(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tls", "init", str(tmp_path / "tls"), f"--host={host}"]) == 1

    assert "HOST_INVALID" in capsys.readouterr().err
    assert not (tmp_path / "tls").exists()


def test_tls_init_does_not_replace_half_an_authority(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tls", "init", str(tmp_path)]) == 0
    (tmp_path / "ca.key").unlink()

    assert run(["tls", "init", str(tmp_path)]) == 1

    assert "TLS_FILE_UNREADABLE" in capsys.readouterr().err


def test_a_token_is_printed_once_and_kept_as_its_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.json"
    limits = ["--days", "7", "--rate", "5", "--burst", "10", "--concurrency", "3"]

    status = run(["token", "new", "--role", "reader", "--name", "anna", "--tokens", str(file)])
    token = capsys.readouterr().out.strip()
    assert status == 0
    assert (
        run(["token", "new", "--role", "admin", "--name", "b", "--tokens", str(file), *limits]) == 0
    )
    capsys.readouterr()
    first, second = read_tokens(file)

    assert (first.name, first.role, first.sha256) == ("anna", Role.READER, hash_of(token))
    assert (first.expires, first.quota) == (None, Quota())
    assert second.quota == Quota(5.0, 10, 3)
    assert second.expires is not None
    assert timedelta(days=6.9) < second.expires - datetime.now(UTC) <= timedelta(days=7)
    assert token not in file.read_text()


def test_tokens_are_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "tokens.json")
    for name in ("anna", "ben"):
        assert run(["token", "new", "--role", "writer", "--name", name, "--tokens", file]) == 0
    capsys.readouterr()

    assert run(["token", "list", "--tokens", file, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["tokens"]
    assert run(["token", "revoke", "--name", "anna", "--tokens", file]) == 0
    assert run(["token", "list", "--tokens", file]) == 0
    said = capsys.readouterr().out

    assert [(row["name"], row["role"]) for row in listed] == [("anna", "writer"), ("ben", "writer")]
    assert "ben" in said and "writer" in said
    assert [entry.name for entry in read_tokens(Path(file))] == ["ben"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["new", "--role", "king", "--name", "a"], "TOKEN_INVALID"),
        (["new", "--role", "reader", "--name", "a b"], "TOKEN_INVALID"),
        (["new", "--role", "reader", "--name", "there"], "TOKEN_EXISTS"),
        (["revoke", "--name", "nobody"], "TOKEN_NOT_FOUND"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "tokens.json")
    assert run(["token", "new", "--role", "reader", "--name", "there", "--tokens", file]) == 0

    assert run(["token", *arguments, "--tokens", file]) == 1

    assert reason in capsys.readouterr().err
    assert [entry.name for entry in read_tokens(Path(file))] == ["there"]


def test_a_file_that_is_none_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.json"
    file.write_text("precious")

    assert run(["token", "new", "--role", "reader", "--name", "a", "--tokens", str(file)]) == 1

    assert "TOKENS_INVALID" in capsys.readouterr().err
    assert file.read_text() == "precious"
