"""What a batch answers is what its searches answer alone."""

from __future__ import annotations

from patchsearch.filters import ImageIdPrefix
from patchsearch.geometry import Box
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.filters import filter_to_proto
from tests.contract.doors import CALL_TIMEOUT_S, RouterDoor, vector_request
from tests.contract.fake_encoder import vector_of

BOXES = [Box(0, 0, 50, 50), Box(40, 40, 50, 50), Box(200, 0, 80, 80)]


def told(response: pb.SearchResponse) -> pb.SearchResponse:
    """All but how long it took."""
    response.ClearField("timings")
    return response


def test_a_batch_answers_each_search_as_it_would_alone(router: RouterDoor) -> None:
    router.put_all(
        [(f"i{n}", [(box, 3 * n + at) for at, box in enumerate(BOXES)]) for n in range(60)]
    )
    requests = [
        vector_request(
            vector_of(seed),
            k=1 + seed % 20,
            exact=seed % 7 == 0,
            keep_overlapping=seed % 3 == 0,
            score_threshold=0.0 if seed % 4 == 0 else None,
            filter=filter_to_proto(ImageIdPrefix("i1")) if seed % 5 == 0 else None,
        )
        for seed in range(50)
    ]
    batch = pb.BatchSearchRequest(requests=requests)
    together = router.stub.BatchSearch(batch, timeout=CALL_TIMEOUT_S).results
    alone = [router.stub.Search(one, timeout=CALL_TIMEOUT_S) for one in requests]
    assert [told(result.response) for result in together] == [told(one) for one in alone]
    assert len({len(one.hits) for one in alone}) > 5
