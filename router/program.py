"""The router put together: everything opened once, wired by constructors, closed in the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server
from router.catalogue import Catalogue
from router.clock import HybridLogicalClock
from router.collection import CollectionDoor
from router.connections import ShardConnections
from router.coverage import PartitionSizes
from router.fan_out import FanOut
from router.ingest_call import IngestCall
from router.ingest_image import ImageWriter
from router.placement_watch import PlacementWatch
from router.search import Searcher
from router.servicer import RouterServicer
from router.settings import RouterSettings
from router.startup import Startup
from router.term_resolution import TermResolver
from service_runtime.clients import open_channel
from service_runtime.server import Service


class Router:
    """A router without its server: `service` to be served, `warm_up` before, `close` after."""

    def __init__(self, settings: RouterSettings) -> None:
        """Reads the placement; raises FailedPrecondition PLACEMENT_INVALID. Connects to nobody."""
        self._settings = settings
        self._placements = PlacementWatch(settings.placement)
        self._door = CollectionDoor()
        limit_mb = settings.max_message_mb
        self._shards = ShardConnections(
            # One more attempt gets over a connection that a restarted shard left behind. Further
            # ones would only delay the answers of the shards that are there.
            lambda a: open_channel(a, max_message_mb=limit_mb, max_attempts=2)
        )
        self._encoder_channel = open_channel(settings.encoder, max_message_mb=limit_mb)
        encoder = EncoderServiceStub(self._encoder_channel)
        self._batch_threads = ThreadPoolExecutor(settings.batch_in_flight, "batch-search")
        self._ingest_threads = ThreadPoolExecutor(settings.ingest_in_flight, "ingest")
        sizes = PartitionSizes()
        self._startup = Startup(
            encoder,
            settings.encoder,
            self._shards,
            sizes,
            timeout_s=settings.startup_timeout_s,
            create_partitions=settings.create_partitions,
        )
        clock = HybridLogicalClock()
        reserve_s = settings.merge_reserve_ms / 1e3
        servicer = RouterServicer(
            self._door,
            self._placements,
            Searcher(
                TermResolver(encoder, self._shards),
                FanOut(self._shards),
                sizes,
                self._batch_threads,
                reserve_s,
            ),
            Catalogue(self._shards),
            IngestCall(
                ImageWriter(encoder, self._shards),
                encoder,
                clock,
                lambda: self._placements.current,
                self._ingest_threads,
                in_flight=settings.ingest_in_flight,
                max_streams=max(1, settings.workers // 2),
            ),
            clock,
            default_k=settings.default_k,
            reserve_s=reserve_s,
            version=version("patchsearch"),
        )
        self.service = Service(
            "patchsearch.v1.SearchService", servicer, add_SearchServiceServicer_to_server
        )

    def warm_up(self) -> None:
        """Waits for encoder and shards, then follows the placement file; raises what
        `Startup.meet` raises."""
        collection = self._startup.meet(self._placements.current)
        self._door.open(collection)
        self._placements.follow(
            self._settings.placement_poll_s,
            lambda placement: self._startup.prepare(placement, collection),
        )

    def interrupt(self) -> None:
        """Makes a `warm_up` that still waits give up."""
        self._startup.stop()

    def close(self) -> None:
        """Stops the threads and closes the channels."""
        self._startup.stop()
        self._placements.stop()
        self._shards.close()
        self._encoder_channel.close()
        self._batch_threads.shutdown(cancel_futures=True)
        self._ingest_threads.shutdown(cancel_futures=True)
