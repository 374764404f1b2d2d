"""What the chart makes: valid for Kubernetes, with the fields that keep a cluster alive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic_settings import BaseSettings

from encoder_service.settings import EncoderSettings
from placement.document import load_placement
from router.settings import RouterSettings
from shard_service.settings import ShardSettings
from tests.deploy.chart import (
    CHART,
    KUBERNETES,
    ROOT,
    SAFE,
    environment,
    helm,
    only,
    pod_of,
    render,
)

PLACEMENT = ROOT / "deploy" / "placement.json"
OPEN = ("tls.enabled=false", "placement.store=configMap")
EVERYTHING = (
    *SAFE,
    "tls.certManager.enabled=true,tls.certManager.issuerRef.name=ca",
    "tls.callerNames={ps-patchsearch-router,ps-patchsearch-shard}",
    "placement.etcd.tlsSecret=etcd-client",
    "tracing.endpoint=http://collector:4317",
    "monitoring.podMonitor=true,monitoring.prometheusRule=true,monitoring.dashboard=true",
    "image.prefix=registry.example.com/team/,image.pullSecrets[0].name=regcred",
    "shards.settings.profile=compact,encoders.gpu.runtimeClassName=nvidia",
    "routers.nodeSelector.kind=web,shards.tolerations[0].operator=Exists",
)
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "least": {"values": SAFE},
    "everything": {"values": EVERYTHING},
    "open": {"values": OPEN, "files": (f"placement.document={PLACEMENT}",)},
    "cpu": {"values": (*SAFE, "encoders.gpu.enabled=false", "encoders.replicas=1")},
}
COMPONENTS = (("Deployment", "router"), ("StatefulSet", "shard"), ("Deployment", "encoder"))


def manifests_of(variant: str) -> list[dict[str, Any]]:
    return render(*VARIANTS[variant]["values"], files=VARIANTS[variant].get("files", ()))


def test_helm_lint_finds_nothing() -> None:
    done = helm("lint", str(CHART), *(part for value in SAFE for part in ("--set", value)))

    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_schemas_accept_every_manifest(variant: str) -> None:
    foreign = {"Certificate", "PodMonitor", "PrometheusRule"}
    for manifest in manifests_of(variant):
        if manifest["kind"] not in foreign:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variable_is_a_setting(variant: str) -> None:
    manifests = manifests_of(variant)
    settings: dict[str, type[BaseSettings]] = {
        "router": RouterSettings,
        "shard": ShardSettings,
        "encoder": EncoderSettings,
    }
    for kind, component in COMPONENTS:
        known = settings[component]
        prefix = known.model_config.get("env_prefix", "")
        given = {
            name.removeprefix(prefix).lower(): value
            for name, value in environment(only(manifests, kind, component)).items()
            if name.startswith("PATCHSEARCH_")
        }
        # Parses as the program would; a list is JSON there.
        known(**{n: json.loads(v) if v.startswith("[") else v for n, v in given.items() if v})
        assert set(given) <= set(known.model_fields)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pods_are_apart_shut_and_on_their_own_account(variant: str) -> None:
    manifests = manifests_of(variant)
    accounts = {m["metadata"]["name"] for m in manifests if m["kind"] == "ServiceAccount"}
    for kind, component in COMPONENTS:
        manifest = only(manifests, kind, component)
        pod = pod_of(manifest)
        (container,) = pod["containers"]
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert manifest["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert pod["serviceAccountName"] in accounts
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        (rule,) = pod["affinity"]["podAntiAffinity"].values()
        (term,) = rule
        selector = term.get("podAffinityTerm", term)["labelSelector"]["matchLabels"]
        assert selector.items() <= labels.items()
        assert pod["terminationGracePeriodSeconds"] > 5 + 10
        budget = only(manifests, "PodDisruptionBudget", component)
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert budget["spec"]["maxUnavailable"] == 1
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claims = manifest["spec"].get("volumeClaimTemplates", [])
        volumes = {v["name"] for v in [*pod["volumes"], *(claim["metadata"] for claim in claims)]}
        assert mounted == volumes


def test_probes_are_grpcs_own_without_tls_and_http_with_it() -> None:
    for variant, kind in (("open", "grpc"), ("least", "httpGet")):
        for workload, component in COMPONENTS:
            (container,) = pod_of(only(manifests_of(variant), workload, component))["containers"]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert kind in container["readinessProbe"]
            assert kind in container["startupProbe"]
            if kind == "grpc":
                assert container["readinessProbe"]["grpc"]["port"] == ports["grpc"]
            else:
                probe = {"path": "/ready", "port": "metrics"}
                assert container["readinessProbe"]["httpGet"] == probe


def test_shards_keep_their_data_and_their_names() -> None:
    manifests = manifests_of("least")
    shards = only(manifests, "StatefulSet")
    service = only(manifests, "Service", "shard")
    (claim,) = shards["spec"]["volumeClaimTemplates"]

    assert claim["spec"]["resources"]["requests"]["storage"] == "100Gi"
    assert shards["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    assert shards["spec"]["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert "PATCHSEARCH_SHARD_NAME" in environment(shards)


def test_only_routers_and_shards_reach_a_shard() -> None:
    policy = only(manifests_of("least"), "NetworkPolicy", "shard")["spec"]

    calls, scrapes = policy["ingress"]
    assert calls["ports"] == [{"port": "grpc"}]
    allowed = [source["podSelector"]["matchLabels"] for source in calls["from"]]
    assert [one.get("app.kubernetes.io/component") for one in allowed] == ["router", "shard", None]
    assert allowed[2] == {"patchsearch/operator": "true"}
    assert scrapes == {"ports": [{"port": "metrics"}]}


def test_an_encoder_asks_for_its_gpu() -> None:
    with_gpu = pod_of(only(manifests_of("least"), "Deployment", "encoder"))["containers"][0]
    without = pod_of(only(manifests_of("cpu"), "Deployment", "encoder"))["containers"][0]

    assert with_gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in without["resources"]["limits"]


def test_with_tls_shards_and_encoders_ask_for_certificates_and_routers_for_tokens() -> None:
    manifests = manifests_of("least")
    router = environment(only(manifests, "Deployment", "router"))
    shard = environment(only(manifests, "StatefulSet", "shard"))
    encoder = environment(only(manifests, "Deployment", "encoder"))

    assert router["PATCHSEARCH_ROUTER_TOKENS"] == "/etc/patchsearch/tokens/tokens.json"
    assert shard["PATCHSEARCH_SHARD_TLS_CLIENT_CA"] == "/etc/patchsearch/tls/ca.crt"
    assert encoder["PATCHSEARCH_ENCODER_TLS_CLIENT_CA"] == "/etc/patchsearch/tls/ca.crt"
    assert not [name for name in (*router, *shard, *encoder) if name.endswith("_INSECURE")]


def test_a_certificate_holds_for_the_names_that_are_called() -> None:
    manifests = manifests_of("everything")
    shard = only(manifests, "Certificate", "shard")["spec"]
    encoder = only(manifests, "Certificate", "encoder")["spec"]
    router = environment(only(manifests, "Deployment", "router"))

    assert "*.ps-patchsearch-shard.search.svc" in shard["dnsNames"]
    assert {"server auth", "client auth"} <= set(shard["usages"])
    assert router["PATCHSEARCH_ROUTER_ENCODER"].partition(":")[0] in encoder["dnsNames"]


def test_the_placement_reaches_the_routers(tmp_path: Path) -> None:
    document = only(manifests_of("open"), "ConfigMap", "placement")["data"]["placement.json"]
    (tmp_path / "placement.json").write_text(document)

    assert load_placement(tmp_path / "placement.json").epoch == 1


def test_settings_arrive_as_they_were_written(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(
        yaml.safe_dump(
            {
                "placement": {"etcd": {"url": "etcd://e:2379/p"}},
                "auth": {"tokensSecret": "t"},
                "shards": {
                    "settings": {
                        "max_segment_patches": 3_000_000,
                        "recall_share": 0.05,
                        "snapshot_roots": ["s3://bucket", "/backup"],
                        "profile": "compact",
                    }
                },
            }
        )
    )
    given = environment(only(render(files=(), values_file=values), "StatefulSet"))

    assert given["PATCHSEARCH_SHARD_MAX_SEGMENT_PATCHES"] == "3000000"
    assert given["PATCHSEARCH_SHARD_RECALL_SHARE"] == "0.05"
    assert json.loads(given["PATCHSEARCH_SHARD_SNAPSHOT_ROOTS"]) == ["s3://bucket", "/backup"]
    assert given["PATCHSEARCH_SHARD_PROFILE"] == "compact"


def test_monitoring_carries_the_files_as_they_are() -> None:
    manifests = manifests_of("everything")
    rules = only(manifests, "PrometheusRule")["spec"]["groups"]
    dashboard = only(manifests, "ConfigMap", "dashboard")["data"]["patchsearch.json"]

    assert sum(len(group["rules"]) for group in rules) > 20
    assert json.loads(dashboard) == json.loads((CHART / "files" / "dashboard.json").read_text())


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (("placement.etcd.url=etcd://e:2379/p",), "auth.tokensSecret"),
        (("auth.tokensSecret=t",), "placement.etcd.url"),
        (("auth.tokensSecret=t", "placement.store=configMap"), "placement.document"),
        (("auth.tokensSecret=t", "placement.store=paper"), "placement.store"),
    ],
)
def test_what_is_missing_is_named(values: tuple[str, ...], word: str) -> None:
    done = helm(
        *("template", "ps", str(CHART), "--kube-version", f"{KUBERNETES}.0"),
        *(part for value in values for part in ("--set", value)),
    )

    assert done.returncode != 0
    assert word in done.stderr
