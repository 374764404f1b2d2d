"""An image that goes to another replica is stored there byte for byte as it was here."""

from __future__ import annotations

import numpy as np
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.conversion import image_to_proto, write_from_proto
from shard_service.store.images import Image, PatchRows, StoredImage
from shard_service.store.records import (
    decode_image,
    decode_patches,
    encode_image,
    encode_patches,
)
from tests.shard_service.material import FINGERPRINT

DIM = 64
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def stored(draw: st.DrawFn) -> tuple[bytes, list[bytes], bytes]:
    metadata = Struct()
    metadata.update(draw(st.dictionaries(texts, values, max_size=4)))
    image = Image(
        image_id=draw(texts.filter(bool)).encode(),
        version=draw(st.integers(0, (1 << 64) - 1)),
        uri=draw(texts),
        width=draw(st.integers(1, (1 << 31) - 1)),
        height=draw(st.integers(1, (1 << 31) - 1)),
        metadata=metadata.SerializeToString(deterministic=True),
        digest=draw(st.binary(max_size=64)),
        selection=draw(texts),
    )
    count = draw(st.integers(0, 5))
    finite = {"allow_nan": False, "allow_infinity": False}
    vectors = draw(arrays.arrays(np.float16, (count, DIM), elements=st.floats(width=16, **finite)))
    scores = draw(arrays.arrays(np.float32, count, elements=st.floats(width=32, **finite)))
    boxes = draw(arrays.arrays(np.int32, (count, 4), elements=st.integers(0, (1 << 31) - 1)))
    levels = draw(arrays.arrays(np.uint16, count, elements=st.integers(1, 65535)))
    rows = PatchRows(boxes, levels, scores, vectors)
    return encode_image(image, 0, count), encode_patches(image.image_id, rows), image.image_id


@given(stored())
@settings(deadline=None)
def test_records_stay_as_they_are(given_records: tuple[bytes, list[bytes], bytes]) -> None:
    record, rows, key = given_records
    image = decode_image(key, record)
    assert image is not None
    patches = decode_patches(key, DIM, rows)
    whole = StoredImage(image.image, 0, image.patch_count, patches)
    sent = image_to_proto(whole, FINGERPRINT, include_vectors=True).SerializeToString()
    arrived, arrived_rows = write_from_proto(pb.StoredImage.FromString(sent))
    halved = PatchRows(
        arrived_rows.boxes,
        arrived_rows.levels,
        arrived_rows.scores,
        arrived_rows.vectors.astype(np.float16),
    )
    assert encode_image(arrived, 0, len(halved)) == record
    assert encode_patches(arrived.image_id, halved) == rows
