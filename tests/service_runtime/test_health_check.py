from __future__ import annotations

from typing import Any

import pytest

from service_runtime.health_check import main


def test_it_tells_serving_from_not_serving(serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    running = serve(started=False)

    before = main([running.server.address])
    running.server.set_serving(True)
    after = main([running.server.address, "--service", "patchsearch.v1.SearchService"])

    assert (before, after) == (1, 0)
    assert capsys.readouterr().out == "NOT_SERVING\nSERVING\n"


def test_nobody_there_and_an_unknown_service_are_failures(
    serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    running = serve()

    unknown = main([running.server.address, "--service", "no.such.Service"])
    running.server.stop()
    nobody = main([running.server.address, "--timeout-s", "2"])

    assert (unknown, nobody) == (1, 1)
    assert capsys.readouterr().out == "NOT_FOUND\nUNAVAILABLE\n"
