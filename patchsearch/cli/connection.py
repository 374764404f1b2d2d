"""How commands connect: TLS and token, as options and variables of every command that calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from patchsearch.wire.security import ChannelSecurity

_Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        envvar="PATCHSEARCH_TLS",
        help="use TLS and trust the public authorities (without --tls-ca)",
    ),
]
_TlsCa = Annotated[
    Path | None,
    typer.Option(
        envvar="PATCHSEARCH_TLS_CA", help="use TLS; PEM file of who signed the server's certificate"
    ),
]
_TlsCert = Annotated[
    Path | None,
    typer.Option(
        envvar="PATCHSEARCH_TLS_CERT",
        help="PEM file of the certificate to show; shards and encoders ask for one",
    ),
]
_TlsKey = Annotated[
    Path | None, typer.Option(envvar="PATCHSEARCH_TLS_KEY", help="PEM file of its private key")
]
_Token = Annotated[
    str | None,
    typer.Option(
        envvar="PATCHSEARCH_TOKEN",
        help="token to send; better as the variable: others can read command lines",
    ),
]
_TokenFile = Annotated[
    Path | None,
    typer.Option(envvar="PATCHSEARCH_TOKEN_FILE", help="file whose content is the token to send"),
]
_Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="PATCHSEARCH_INSECURE",
        help="send a token without TLS to another machine",
    ),
]

_PARAMETER = "security"
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "tls": (_Tls, False),
    "tls_ca": (_TlsCa, None),
    "tls_cert": (_TlsCert, None),
    "tls_key": (_TlsKey, None),
    "token": (_Token, None),
    "token_file": (_TokenFile, None),
    "insecure": (_Insecure, False),
}


def calls_server(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `security: ChannelSecurity` is filled from options of its own.

    `@calls_server def search(..., security: ChannelSecurity) -> None`: on the command line stand
    --tls-ca, --token and so on in its place, with their variables (PATCHSEARCH_TLS_CA, ...). The
    function itself takes no default for `security`, so that it cannot be forgotten.
    """
    signature = inspect.signature(command, eval_str=True)
    if _PARAMETER not in signature.parameters:
        raise TypeError(f"{command.__name__} takes no {_PARAMETER}")

    @wraps(command)
    def with_security(*args: Any, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in _OPTIONS}
        # A file given with --token-file is meant, whatever else the environment holds.
        token = None if given["token_file"] is not None else given["token"]
        kwargs[_PARAMETER] = ChannelSecurity(
            tls=given["tls"],
            ca=given["tls_ca"],
            cert=given["tls_cert"],
            key=given["tls_key"],
            token=token,
            token_file=given["token_file"],
            plaintext_token=given["insecure"],
        )
        command(*args, **kwargs)

    kept = [p for p in signature.parameters.values() if p.name != _PARAMETER]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in _OPTIONS.items()
    ]
    shown = signature.replace(parameters=[*kept, *added])
    with_security.__signature__ = shown  # type: ignore[attr-defined]  # what typer reads
    with_security.__annotations__ = {p.name: p.annotation for p in shown.parameters.values()}
    return with_security
