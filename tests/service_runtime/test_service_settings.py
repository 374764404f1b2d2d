from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from service_runtime.settings import ServiceSettings, flag_and_variable, parse_settings


class ExampleSettings(ServiceSettings):
    """An example of a service."""

    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_EXAMPLE_")

    port: int = Field(7199, ge=0, le=65535, description="Port to listen on.")
    data: Path = Field(description="Directory for data.")


def parse(*argv: str) -> ExampleSettings:
    return parse_settings(ExampleSettings, argv, "patchsearch-example")


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as ended:
        parse(*argv)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


def test_defaults() -> None:
    settings = parse("--data", "d")

    assert (settings.host, settings.port, settings.metrics_port) == ("127.0.0.1", 7199, None)
    assert settings.data == Path("d")


def test_a_flag_is_a_variable_and_wins_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHSEARCH_EXAMPLE_PORT", "7001")
    monkeypatch.setenv("PATCHSEARCH_EXAMPLE_METRICS_PORT", "7002")
    monkeypatch.setenv("PATCHSEARCH_EXAMPLE_STOP_WITH_STDIN", "true")
    monkeypatch.setenv("PATCHSEARCH_EXAMPLE_DATA", "from-the-environment")

    settings = parse("--port", "7003")

    assert (settings.port, settings.metrics_port) == (7003, 7002)
    assert settings.stop_with_stdin
    assert settings.data == Path("from-the-environment")


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHSEARCH_EXAMPLE_PORT", "")

    assert parse("--data", "d").port == 7199


def test_help_shows_every_field_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse("--help")

    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in ExampleSettings.model_fields.items():
        assert field.description, name
        assert f"--{name.replace('_', '-')}" in text
        assert f"PATCHSEARCH_EXAMPLE_{name.upper()}" in text


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("--port", "65536"), ("--port", "PATCHSEARCH_EXAMPLE_PORT", "65536", "65535")),
        (("--port", "http"), ("--port", "'http'", "integer")),
        (("--workers", "0"), ("--workers", "PATCHSEARCH_EXAMPLE_WORKERS", "'0'", "equal to 1")),
        (("--log-format", "xml"), ("--log-format", "'xml'", "'console' or 'json'")),
        (("--drain-s", "-1"), ("--drain-s", "PATCHSEARCH_EXAMPLE_DRAIN_S", "'-1'")),
        (("--prot", "1"), ("--prot",)),
    ],
)
def test_a_bad_setting_is_named(
    argv: tuple[str, ...], expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "--data", "d", *argv)

    for part in expected:
        assert part in said


def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATCHSEARCH_EXAMPLE_PORT", "x")

    said = refusal(capsys)

    assert "PATCHSEARCH_EXAMPLE_PORT was 'x'" in said
    assert "--data or PATCHSEARCH_EXAMPLE_DATA is required" in said


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse("--data", "d").port = 1


def test_a_misspelt_keyword_is_refused() -> None:
    with pytest.raises(ValidationError, match="prot"):
        ExampleSettings(data=Path("d"), **{"prot": 1})


def test_flag_and_variable() -> None:
    assert (
        flag_and_variable(ExampleSettings, "metrics_port")
        == "--metrics-port or PATCHSEARCH_EXAMPLE_METRICS_PORT"
    )
