from __future__ import annotations

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from patchsearch.errors import (
    ERROR_CLASSES,
    InvalidArgument,
    PatchsearchError,
    ResourceExhausted,
    Unavailable,
)
from patchsearch.wire.status import DOMAIN, error_from_rpc, error_from_status, status_proto


@pytest.mark.parametrize("cls", ERROR_CLASSES.values(), ids=lambda cls: cls.__name__)
def test_every_class_survives_the_wire(cls: type[PatchsearchError]) -> None:
    error = cls("SOME_REASON", "what happened, the limit, the remedy", metadata={"limit": "8"})

    status = status_pb2.Status.FromString(status_proto(error).SerializeToString())
    back = error_from_status(status)

    assert type(back) is cls
    assert (back.reason, back.message) == (error.reason, error.message)
    assert back.metadata == {"limit": "8"}
    assert code_pb2.Code.Name(status.code) == cls.code


def test_a_status_has_one_error_info_of_our_domain() -> None:
    status = status_proto(InvalidArgument("K_OUT_OF_RANGE", "k is 0; ask for 1 to 1000"))

    info = error_details_pb2.ErrorInfo()
    assert len(status.details) == 1
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == (DOMAIN, "K_OUT_OF_RANGE")


@pytest.mark.parametrize("seconds", [None, 0.0, 0.25, 90.0])
def test_retry_delay_survives_the_wire(seconds: float | None) -> None:
    error = ResourceExhausted("OVERLOADED", "full", retry_after_s=seconds)

    back = error_from_status(status_proto(error))

    assert isinstance(back, ResourceExhausted)
    assert back.retry_after_s == seconds


@given(message=st.text(max_size=4000), value=st.text(max_size=1000))
def test_whatever_the_text_a_status_fits_into_a_header(message: str, value: str) -> None:
    error = InvalidArgument("REASON", message, metadata={f"key{n}": value for n in range(50)})

    assert len(status_proto(error).SerializeToString()) < 6000


def test_a_long_message_is_cut_and_says_so() -> None:
    back = error_from_status(status_proto(InvalidArgument("REASON", "ü" * 5000)))

    assert back.message.startswith("üüü")
    assert back.message.endswith("...")


def test_a_status_of_somebody_else_keeps_its_code() -> None:
    status = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="connection refused")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="X", domain="elsewhere.example"))

    back = error_from_status(status)

    assert isinstance(back, Unavailable)
    assert (back.reason, back.metadata) == ("UNREACHABLE", {})


def test_a_code_without_a_class_becomes_the_base_class() -> None:
    back = error_from_status(status_pb2.Status(code=code_pb2.ABORTED, message="conflict"))

    assert type(back) is PatchsearchError
    assert back.reason == "ABORTED"


def test_ok_is_no_error() -> None:
    with pytest.raises(ValueError, match="OK"):
        error_from_status(status_pb2.Status())


def test_nobody_at_the_address_is_unreachable() -> None:
    with grpc.insecure_channel("127.0.0.1:1", options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary("/patchsearch.v1.SearchService/Search")
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=5)

    error = error_from_rpc(raised.value)
    assert isinstance(error, Unavailable)
    assert error.reason == "UNREACHABLE"


def test_an_error_of_no_call_is_a_cancellation() -> None:
    assert error_from_rpc(grpc.RpcError()).reason == "CANCELLED"
