"""`patchsearch get | delete | list | describe`: what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from patchsearch.cli.connection import calls_server
from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import DEFAULT_ADDRESS, Address, AsJson, TimeoutS
from patchsearch.client import Client
from patchsearch.collection_state import MeasuredRecall
from patchsearch.wire.security import ChannelSecurity


@calls_server
def get(
    image_id: str,
    vectors: Annotated[bool, typer.Option(help="with the vectors (JSON only)")] = False,
    as_json: AsJson = False,
    timeout_s: TimeoutS = 30.0,
    address: Address = DEFAULT_ADDRESS,
    *,
    security: ChannelSecurity,
) -> None:
    """Tell what is stored of one image."""
    with Client(address, timeout_s=timeout_s, security=security) as client:
        detail = client.get(image_id, include_vectors=vectors)
    if as_json:
        print_json(detail)
        return
    image = detail.image
    typer.echo(f"{image.image_id}: {image.width}x{image.height}, {image.patch_count} patches")
    typer.echo(f"uri {image.uri}\nsha256 {image.digest.hex()}\nwritten {image.update_time}")
    for key, value in image.metadata.items():
        typer.echo(f"{key} = {value}")
    for patch in detail.patches:
        box = patch.box
        place = f"{box.x},{box.y},{box.w},{box.h}"
        typer.echo(f"  {place:24} level {patch.level}  score {patch.selection_score:.3f}")


@calls_server
def delete(
    image_ids: Annotated[list[str], typer.Argument(metavar="IMAGE_ID...")],
    as_json: AsJson = False,
    timeout_s: TimeoutS = 30.0,
    address: Address = DEFAULT_ADDRESS,
    *,
    security: ChannelSecurity,
) -> None:
    """Delete images with all their patches; what is not there is no error."""
    with Client(address, timeout_s=timeout_s, security=security) as client:
        deleted = client.delete(image_ids)
    if as_json:
        print_json({"deleted_image_ids": deleted})
    else:
        typer.echo(f"deleted {len(deleted)} of {len(image_ids)}")


@calls_server
def list_images(
    prefix: Annotated[str, typer.Option(help="only ids that begin with this")] = "",
    as_json: AsJson = False,
    timeout_s: TimeoutS = 30.0,
    address: Address = DEFAULT_ADDRESS,
    *,
    security: ChannelSecurity,
) -> None:
    """List images by id; --json prints one object a line."""
    with Client(address, timeout_s=timeout_s, security=security) as client:
        for image in client.list(prefix=prefix):
            if as_json:
                print_json(image, indent=None)
            else:
                size = f"{image.width}x{image.height}"
                typer.echo(f"{image.image_id}\t{size}\t{image.patch_count} patches\t{image.uri}")


@calls_server
def describe(
    as_json: AsJson = False,
    timeout_s: TimeoutS = 30.0,
    address: Address = DEFAULT_ADDRESS,
    *,
    security: ChannelSecurity,
) -> None:
    """Tell the state of the collection: encoder, sizes, coverage, recall, partitions, replicas."""
    with Client(address, timeout_s=timeout_s, security=security) as client:
        state = client.describe()
    if as_json:
        print_json(state)
        return
    typer.echo(f"{state.images} images, {state.patches} patches, epoch {state.epoch}")
    typer.echo(f"encoder {state.encoder} ({state.fingerprint}, {state.dim}-d)")
    typer.echo(f"selection {state.selector} / {state.saliency}")
    answering = sum(part.available for part in state.partitions)
    typer.echo(f"coverage {state.coverage:.0%}: {answering} of {len(state.partitions)} partitions")
    typer.echo(f"recall {_recall_text(state.recall)}")
    for part in state.partitions:
        health = "" if part.available else "  NOT AVAILABLE"
        activity = f"  {part.activity}" if part.activity else ""
        damaged = f"  {part.damaged_images} DAMAGED IMAGES" if part.damaged_images else ""
        typer.echo(
            f"  {part.partition_id} on {part.shard}: {part.images} images, {part.patches} patches,"
            f" {part.growing_patches} growing, {part.sealed_segments} sealed"
            f" ({part.profile}){activity}{damaged}{health}"
        )
        for replica in part.replicas:
            where = f" at {replica.address}" if replica.address else ""
            state_of = replica.state if replica.state == "in use" else replica.state.upper()
            typer.echo(f"    replica {replica.shard}{where}: {state_of}, {replica.patches} patches")


def _recall_text(recall: Sequence[MeasuredRecall]) -> str:
    told = [
        f"{one.share:.4f} ({one.profile}, {one.checks} searches checked)"
        for one in recall
        if one.share is not None
    ]
    return ", ".join(told) or "not measured yet: no search of an index was checked"
