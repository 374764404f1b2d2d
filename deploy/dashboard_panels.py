"""What the Grafana dashboard shows: rows of panels of PromQL queries."""

from __future__ import annotations

from dataclasses import dataclass

_SEARCH = 'method="/patchsearch.v1.SearchService/Search"'
_FAULTS = 'code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE|DEADLINE_EXCEEDED"'


@dataclass(frozen=True)
class Query:
    """A PromQL expression and how its lines are called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A time series; `unit` is one of Grafana's."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under a heading, three a line."""

    title: str
    panels: tuple[Panel, ...]


def quantiles(metric: str, by: str, where: str = "") -> tuple[Query, ...]:
    """The median, p95 and p99 of a histogram."""
    select = f"{{{where}}}" if where else ""
    groups = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by ({groups}) (rate({metric}_bucket{select}[5m])))",
            f"{legend}{name}",
        )
        for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def one(title: str, unit: str, expr: str, legend: str, description: str = "") -> Panel:
    """A panel of one query."""
    return Panel(title, unit, (Query(expr, legend),), description)


ROWS = (
    Row(
        "Searches",
        (
            one("Searches", "reqps", f"sum(rate(patchsearch_calls_total{{{_SEARCH}}}[5m]))", "all"),
            one(
                "Searches that failed",
                "percentunit",
                f"sum by (code) (rate(patchsearch_calls_total{{{_SEARCH},{_FAULTS}}}[5m])) / "
                f"ignoring(code) group_left sum(rate(patchsearch_calls_total{{{_SEARCH}}}[5m]))",
                "{{code}}",
            ),
            Panel(
                "Duration of a search",
                "s",
                quantiles("patchsearch_call_seconds", "", f'{_SEARCH},code="OK"'),
                "As the router sees it, from the call's start to its end.",
            ),
            one(
                "Stages, p95",
                "s",
                "histogram_quantile(0.95, sum by (job, stage, le) "
                "(rate(patchsearch_stage_seconds_bucket[5m])))",
                "{{job}} {{stage}}",
            ),
            one(
                "Stages that failed",
                "reqps",
                'sum by (job, stage) (rate(patchsearch_stage_seconds_count{outcome="failed"}[5m]))',
                "{{job}} {{stage}}",
            ),
            Panel(
                "Fan-out to the shards", "s", quantiles("patchsearch_router_fan_out_seconds", "")
            ),
            one(
                "Coverage of the last search",
                "percentunit",
                "min(patchsearch_router_coverage_ratio)",
                "worst router",
            ),
            one(
                "Degraded answers",
                "reqps",
                "sum(rate(patchsearch_router_degraded_answers_total[5m]))",
                "all",
                "Searches answered without some partition; each says so in its coverage.",
            ),
            one(
                "Searches asked again",
                "reqps",
                "sum(rate(patchsearch_router_searches_asked_again_total[5m]))",
                "all",
                "A partition held more of the hits than its share, and all were asked for all hits;"
                " more than one in a hundred searches means that images are dealt out unevenly.",
            ),
        ),
    ),
    Row(
        "Calls of every server",
        (
            one(
                "Calls",
                "reqps",
                "sum by (job, method) (rate(patchsearch_calls_total[5m]))",
                "{{job}} {{method}}",
            ),
            one(
                "Errors by reason",
                "reqps",
                "sum by (job, reason) (rate(patchsearch_call_errors_total[5m]))",
                "{{job}} {{reason}}",
            ),
            one(
                "Duration, p99",
                "s",
                "histogram_quantile(0.99, sum by (job, method, le) "
                "(rate(patchsearch_call_seconds_bucket[5m])))",
                "{{job}} {{method}}",
            ),
            one("Calls running", "short", "sum by (job) (patchsearch_calls_running)", "{{job}}"),
            one("Calls waiting", "short", "patchsearch_calls_waiting", "{{job}} {{instance}}"),
            one(
                "Room taken: running and waiting of what a server takes",
                "percentunit",
                "(sum by (job, instance) (patchsearch_calls_running) + patchsearch_calls_waiting) "
                "/ (patchsearch_workers + patchsearch_calls_waiting_limit)",
                "{{job}} {{instance}}",
            ),
        ),
    ),
    Row(
        "Replication and placement",
        (
            one(
                "Calls to shards for reads",
                "reqps",
                "sum by (kind) (rate(patchsearch_router_shard_calls_total[5m]))",
                "{{kind}}",
                "Hedges may be 10 % of the first calls at most.",
            ),
            one(
                "Hedges that won",
                "percentunit",
                "sum(rate(patchsearch_router_hedges_won_total[5m])) / "
                'sum(rate(patchsearch_router_shard_calls_total{kind="hedge"}[5m]))',
                "of all hedges",
            ),
            Panel(
                "Replicas behind, shards failing",
                "short",
                (
                    Query("max(patchsearch_router_replicas_behind)", "replicas behind"),
                    Query("max(patchsearch_router_shards_failing)", "shards failing"),
                ),
            ),
            one(
                "Writes to partitions",
                "reqps",
                "sum by (consistency, outcome) (rate(patchsearch_router_writes_total[5m]))",
                "{{consistency}} {{outcome}}",
            ),
            one(
                "Repairs",
                "short",
                "sum by (kind, outcome) (increase(patchsearch_router_repairs_total[5m]))",
                "{{kind}} {{outcome}}",
            ),
            Panel(
                "Epoch of the placement",
                "short",
                (
                    Query("max(patchsearch_router_placement_epoch)", "newest"),
                    Query("min(patchsearch_router_placement_epoch)", "oldest"),
                ),
                "Two lines for longer than a moment: a router does not see the placement.",
            ),
            one(
                "Stale placements",
                "reqps",
                "sum by (call) (rate(patchsearch_router_stale_placements_total[5m]))",
                "{{call}}",
            ),
            one(
                "Ingest held back for searches",
                "reqps",
                "sum(rate(patchsearch_router_ingest_shed_total[5m]))",
                "all",
            ),
            Panel(
                "Fetched from other replicas",
                "cps",
                (
                    Query("sum(rate(patchsearch_shard_repaired_images_total[5m]))", "images"),
                    Query("sum(rate(patchsearch_shard_repaired_deletions_total[5m]))", "deletions"),
                ),
            ),
        ),
    ),
    Row(
        "Shards",
        (
            one(
                "Patches",
                "short",
                "sum by (instance) (patchsearch_shard_patches)",
                "{{instance}}",
            ),
            one("Images", "short", "sum by (instance) (patchsearch_shard_images)", "{{instance}}"),
            one("Partitions", "short", "patchsearch_shard_partitions", "{{instance}}"),
            one(
                "Disk, free share",
                "percentunit",
                "patchsearch_shard_disk_free_bytes / patchsearch_shard_disk_total_bytes",
                "{{instance}}",
            ),
            one(
                "Disk, by partitions",
                "bytes",
                "sum by (instance) (patchsearch_shard_disk_bytes)",
                "{{instance}}",
            ),
            Panel(
                "Seconds until a commit is durable",
                "s",
                quantiles("patchsearch_shard_fsync_seconds", ""),
            ),
            Panel(
                "Patches not in an index yet, and deleted rows",
                "short",
                (
                    Query("sum(patchsearch_shard_growing_patches)", "growing"),
                    Query("sum(patchsearch_shard_deleted_patches)", "deleted"),
                    Query("sum(patchsearch_shard_tombstones)", "tombstones (images)"),
                ),
            ),
            one(
                "Segments",
                "short",
                "sum by (instance) (patchsearch_shard_segments)",
                "{{instance}}",
            ),
            Panel(
                "Builds",
                "short",
                (
                    Query("sum(patchsearch_shard_builds_running)", "running"),
                    Query(
                        "sum by (work) (increase(patchsearch_shard_build_seconds_count[5m]))",
                        "{{work}}, ended in 5 min",
                    ),
                ),
            ),
            one(
                "Recall, last hour",
                "percentunit",
                "sum by (profile) (increase(patchsearch_recall_found_hits_total[1h])) / "
                "sum by (profile) (increase(patchsearch_recall_expected_hits_total[1h]))",
                "{{profile}}",
            ),
            one(
                "Recall checks",
                "cps",
                "sum by (profile) (rate(patchsearch_recall_checks_total[5m]))",
                "{{profile}}",
            ),
            one(
                "Damaged images",
                "short",
                "sum by (instance, partition) (patchsearch_shard_damaged_images)",
                "{{instance}} {{partition}}",
            ),
        ),
    ),
    Row(
        "Encoders",
        (
            one(
                "Items through the model",
                "cps",
                "sum by (lane) (rate(patchsearch_encoder_batch_items_sum[5m]))",
                "{{lane}}",
            ),
            one(
                "Items a batch, mean",
                "short",
                "sum by (lane) (rate(patchsearch_encoder_batch_items_sum[5m])) / "
                "sum by (lane) (rate(patchsearch_encoder_batch_items_count[5m]))",
                "{{lane}}",
            ),
            one(
                "Duration of a batch, p95",
                "s",
                "histogram_quantile(0.95, sum by (lane, le) "
                "(rate(patchsearch_encoder_batch_seconds_bucket[5m])))",
                "{{lane}}",
            ),
            one(
                "Queue, share taken",
                "percentunit",
                "patchsearch_encoder_queue_items / patchsearch_encoder_queue_limit",
                "{{instance}}",
            ),
            one(
                "Batches that the model failed on",
                "cps",
                "sum by (lane) (rate(patchsearch_encoder_batches_failed_total[5m]))",
                "{{lane}}",
            ),
        ),
    ),
    Row(
        "Processes",
        (
            one(
                "Memory resident",
                "bytes",
                'process_resident_memory_bytes{job=~"patchsearch-.*"}',
                "{{job}} {{instance}}",
            ),
            one(
                "Processors",
                "short",
                'rate(process_cpu_seconds_total{job=~"patchsearch-.*"}[5m])',
                "{{job}} {{instance}}",
            ),
            one(
                "Open files",
                "short",
                'process_open_fds{job=~"patchsearch-.*"}',
                "{{job}} {{instance}}",
            ),
            one("Serving", "short", "patchsearch_serving", "{{job}} {{instance}}"),
            one(
                "Versions",
                "short",
                "count by (job, version) (patchsearch_build)",
                "{{job}} {{version}}",
            ),
            one(
                "Days until certificates end",
                "d",
                "(patchsearch_certificate_expiry_timestamp_seconds - time()) / 86400",
                "{{job}} {{instance}}",
            ),
        ),
    ),
)
