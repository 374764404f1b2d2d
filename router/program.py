"""The router put together: everything opened once, wired by constructors, closed in the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import grpc
from prometheus_client import CollectorRegistry

from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server
from placement.opening import open_placement_store
from placement.watch import PlacementWatch
from router.audit import AuditedServicer
from router.catalogue import Catalogue
from router.clock import HybridLogicalClock
from router.collection import CollectionDoor
from router.connections import ShardConnections
from router.consistency import Consistency
from router.coverage import PartitionSizes
from router.explanations import SelectionExplainer
from router.fan_out import FanOut
from router.hedging import Hedging
from router.image_reads import ImageReader
from router.ingest_call import IngestCall
from router.ingest_image import ImageWriter
from router.metrics import RouterMetrics
from router.partition_reads import PartitionReads
from router.pressure import SearchPressure
from router.reading import ReadMeans
from router.redaction import RedactedServicer
from router.reloads import Reloads
from router.replica_keeper import ReplicaKeeper
from router.replica_states import ReplicaStates
from router.replica_write import Senders
from router.search import Searcher
from router.servicer import RouterServicer
from router.settings import RouterSettings
from router.startup import Startup
from router.stored_check import StoredCheck
from router.term_resolution import TermResolver
from router.writes import ReplicatedWriter
from service_runtime.clients import open_channel
from service_runtime.held_watch import hold_watch
from service_runtime.server import Service


class Router:
    """A router without its server: `service` to be served, `warm_up` before, `close` after."""

    def __init__(
        self,
        settings: RouterSettings,
        *,
        registry: CollectorRegistry | None = None,
        clock: HybridLogicalClock | None = None,
    ) -> None:
        """Loads the placement; raises FailedPrecondition PLACEMENT_INVALID. Connects to nobody.

        `registry` takes the router's metrics, `clock` makes versions; fresh ones by default.
        """
        self.registry = registry if registry is not None else CollectorRegistry()
        self._placements = PlacementWatch(
            open_placement_store(settings.placement, poll_s=settings.placement_poll_s)
        )
        self._reloads = Reloads(self._placements)
        self._settings = settings
        self._clock = clock or HybridLogicalClock(ahead_s=settings.max_clock_ahead_s)
        self._door = CollectionDoor()
        self._shards = ShardConnections(self._open_shard)
        self._encoder_channel = open_channel(
            settings.encoder,
            max_message_mb=settings.max_message_mb,
            security=settings.channel_security(),
        )
        hold_watch(self._encoder_channel)
        self._batch_threads = ThreadPoolExecutor(settings.batch_in_flight, "batch-search")
        self._ingest_threads = ThreadPoolExecutor(settings.ingest_in_flight, "ingest")
        self._sizes = PartitionSizes()
        self._states = ReplicaStates()
        self._metrics = RouterMetrics(self.registry)
        self._metrics.follow(
            epoch=lambda: self._placements.current.epoch,
            behind=self._states.behind_count,
            failing=self._states.failing_count,
        )
        encoder = EncoderServiceStub(self._encoder_channel)
        self._startup = Startup(
            encoder,
            settings.encoder,
            self._shards,
            self._sizes,
            self._clock,
            timeout_s=settings.startup_timeout_s,
            create_partitions=settings.create_partitions,
        )
        self._keeper = ReplicaKeeper(
            self._shards,
            self._states,
            self._placements,
            self._sizes,
            self._clock,
            self._metrics,
            interval_s=settings.repair_interval_s,
            create_lost=lambda partition: self._startup.create_lost(partition, self._door.enter()),
        )
        servicer = self._servicer(encoder)
        self.service = Service(
            "patchsearch.v1.SearchService",
            AuditedServicer(RedactedServicer(servicer) if settings.redact else servicer),
            add_SearchServiceServicer_to_server,
        )

    def warm_up(self) -> None:
        """Waits for encoder and shards, then follows the placement and keeps the replicas equal;
        raises what `Startup.meet` raises."""
        collection = self._startup.meet(self._placements.current)
        self._door.open(collection)
        self._placements.follow(
            self._settings.placement_poll_s,
            lambda placement: self._startup.prepare(
                placement, self._placements.current, collection
            ),
        )
        self._keeper.start()

    def interrupt(self) -> None:
        """Makes a `warm_up` that still waits give up."""
        self._startup.stop()

    def close(self) -> None:
        """Stops the threads and closes the channels."""
        self._startup.stop()
        self._keeper.stop()
        self._reloads.close()
        self._placements.stop()
        self._shards.close()
        self._encoder_channel.close()
        self._batch_threads.shutdown(cancel_futures=True)
        self._ingest_threads.shutdown(cancel_futures=True)

    def _open_shard(self, address: str) -> grpc.Channel:
        return open_channel(
            address,
            max_message_mb=self._settings.max_message_mb,
            # What fails is asked of another replica at once, and not of the same one again.
            max_attempts=1,
            security=self._settings.channel_security(),
        )

    def _servicer(self, encoder: EncoderServiceStub) -> RouterServicer:
        settings = self._settings
        reads, joint_reads = (
            PartitionReads(
                ReadMeans(
                    self._shards,
                    self._states,
                    self._reloads,
                    Hedging(settings.hedge_share),
                    self._metrics,
                )
            )
            for _ in range(2)
        )
        images = ImageReader(reads)
        writer = ReplicatedWriter(
            Senders(self._shards, self._states, self._clock),
            self._placements,
            self._clock,
            self._metrics,
        )
        consistency = Consistency(settings.write_consistency)
        pressure = SearchPressure(settings.workers, self._metrics)
        reserve_s = settings.merge_reserve_ms / 1e3
        return RouterServicer(
            self._door,
            self._placements,
            Searcher(
                TermResolver(encoder, images),
                FanOut(reads, joint_reads),
                self._sizes,
                self._batch_threads,
                reserve_s,
                self._metrics,
            ),
            Catalogue(self._shards, self._states, reads, images),
            IngestCall(
                ImageWriter(encoder, writer, StoredCheck(self._shards)),
                encoder,
                self._clock,
                lambda: self._placements.current,
                self._ingest_threads,
                consistency=consistency,
                in_flight=settings.ingest_in_flight,
                pressure=pressure,
            ),
            SelectionExplainer(encoder, pressure),
            writer,
            self._states,
            pressure,
            consistency=consistency,
            default_k=settings.default_k,
            reserve_s=reserve_s,
            version=version("patchsearch"),
        )
