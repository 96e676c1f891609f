"""The container files, as far as they can be held without an engine: they parse, services take them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from meshgate_cache.settings import CacheSettings
from meshgate_chassis.settings import ServiceSettings, load_settings
from meshgate_compression.settings import CompressionSettings
from meshgate_edge.settings import EdgeSettings
from meshgate_ledger.settings import LedgerSettings
from meshgate_router.settings import RouterSettings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "edge": EdgeSettings,
    "ledger": LedgerSettings,
    "cache": CacheSettings,
    "compression": CompressionSettings,
    "router": RouterSettings,
}
USER = 10001
SECRETS = {  # name in the manifests -> what its keys are for a service
    "meshgate-mesh": {"LITELLM_MASTER_KEY": "sk-1", "MESHGATE_MESH_SECRET": "sixteen characters"},
    "meshgate-ledger": {"DATABASE_URL": "postgresql://postgres/litellm"},
    "meshgate-redis": {"REDIS_URL": "redis://redis:6379"},
    "meshgate-providers": {"OPENAI_API_KEY": "sk-2"},
    "meshgate-tenants": {"MESHGATE_CREDENTIALS_KEY": "00" * 32},
}


def manifests() -> list[Any]:
    return list(YAML(typ="safe").load_all(DEPLOY / "kubernetes.yaml"))


def workloads() -> dict[str, Any]:
    """Deployments and StatefulSets by name."""
    return {
        each["metadata"]["name"]: each
        for each in manifests()
        if each["kind"] in ("Deployment", "StatefulSet")
    }


def services_of_compose() -> dict[str, Any]:
    document = YAML(typ="safe").load(DEPLOY / "compose.yaml")
    return {name: each for name, each in document["services"].items() if name in SETTINGS}


def environments() -> Iterator[tuple[str, str, dict[str, str]]]:
    """File, service, and the environment that it starts with there."""
    for name, service in services_of_compose().items():
        given = {
            key: "" if str(value).endswith(":-}") else str(value)  # ${NAME:-}: empty unless it is set
            for key, value in service["environment"].items()
        }
        yield "compose.yaml", name, given
    for name, workload in workloads().items():
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        given = {each["name"]: each["value"] for each in container["env"]}
        for source in container["envFrom"]:
            given |= SECRETS[source["secretRef"]["name"]]
        yield "kubernetes.yaml", name, given


def test_both_files_have_all_services() -> None:
    """And the others do not read what they must not."""
    assert SETTINGS.keys() == services_of_compose().keys() == workloads().keys()


@pytest.mark.parametrize(("file", "name", "given"), list(environments()), ids=lambda value: str(value)[:20])
def test_each_service_takes_its_environment(
    file: str, name: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every variable is a setting that exists, and none is missing; so is the address of each neighbour."""
    for key in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST", "PORT", "HOST"):
        monkeypatch.delenv(key, raising=False)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    settings = load_settings(SETTINGS[name])
    assert settings.plaintext_allowed, file
    assert settings.listen.startswith("0.0.0.0:")
    neighbours = {
        f"dns:///{leaf}:{type_.model_fields['listen'].default.rpartition(':')[2]}"
        for leaf, type_ in SETTINGS.items()
        if leaf != "edge"
    }
    if isinstance(settings, EdgeSettings):
        assert neighbours == {
            settings.ledger_address,
            settings.cache_address,
            settings.compression_address,
            settings.router_address,
        }


@pytest.mark.parametrize("name", SETTINGS)
def test_pods_may_do_little_and_are_watched(name: str) -> None:
    """No root, no token, no links to others' services, nothing written but to volumes; a bound on memory."""
    pod = workloads()[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert USER == pod["securityContext"]["runAsUser"]
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
    assert "memory" in container["resources"]["limits"]
    drain_s = SETTINGS[name].model_fields["drain_grace_s"].default
    given = {each["name"]: each["value"] for each in container["env"]}
    assert drain_s + int(given["MESHGATE_DRAIN_DELAY_S"]) < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", SETTINGS)
def test_containers_of_compose_may_do_little(name: str) -> None:
    """As the pods."""
    service = services_of_compose()[name]
    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]


def test_selectors_ports_and_volumes_fit() -> None:
    """A Service finds its pods and their ports; what is mounted exists."""
    services = {each["metadata"]["name"]: each["spec"] for each in manifests() if each["kind"] == "Service"}
    for name, workload in workloads().items():
        template = workload["spec"]["template"]
        (container,) = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert template["metadata"]["labels"] == workload["spec"]["selector"]["matchLabels"]
        assert template["metadata"]["labels"] == services[name]["selector"]
        for port in services[name]["ports"]:
            assert port.get("targetPort", port["port"]) in {*ports, *ports.values()}
        given = next(each["value"] for each in container["env"] if each["name"].endswith("_LISTEN"))
        assert f"0.0.0.0:{ports['grpc']}" == given
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {each["name"] for each in template["spec"]["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in claims}
        assert volumes == {each["name"] for each in container["volumeMounts"]}


def test_the_image_is_not_roots() -> None:
    """It runs as the user that the manifests name, and the service itself is process 1."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f"\nUSER {USER}\n" in dockerfile
    assert '"exec /opt/meshgate/bin/python -m meshgate_${SERVICE}"' in dockerfile
    copied = [line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY ")]
    names = [name for line in copied for name in line if not name.startswith("-") and "$" not in name]
    assert [] == [name for name in names if not name.startswith("/") and not (DEPLOY.parent / name).exists()]
