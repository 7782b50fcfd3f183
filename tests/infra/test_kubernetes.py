"""What must hold in `infra/k8s/`; whether it fits the schemas of Kubernetes is for `make infra` to say."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from reelwork.runtime.registry import load_catalogue
from reelwork.runtime.supervisor import KILL_AFTER_DRAIN_SECONDS
from reelwork.settings import Config
from tests.infra.command_line import parsed
from tests.infra.locked import ROOT

BASE: Final = ROOT / "infra" / "k8s" / "base"
EXAMPLE: Final = ROOT / "infra" / "k8s" / "overlays" / "example"
S3_CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
NAME: Final = "app.kubernetes.io/name"
SPARE_SECONDS: Final = 10
TRIGGER_METADATA: Final = {"protocol", "mode", "value", "queueName"}


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


KUSTOMIZATION: Final = documents(BASE / "kustomization.yaml")[0]
ALL: Final = [document for path in KUSTOMIZATION["resources"] for document in documents(BASE / path)]
CATALOGUE: Final = load_catalogue()


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """By name without the prefix that all have."""
    return {d["metadata"]["name"].removeprefix("reelwork-"): d for d in ALL if d["kind"] == kind}


PODS: Final = {name: d["spec"]["template"] for kind in ("Deployment", "Job") for name, d in of_kind(kind).items()}


def container(name: str) -> dict[str, Any]:
    (only,) = PODS[name]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_every_file_is_used() -> None:
    listed = {BASE / path for path in KUSTOMIZATION["resources"] + KUSTOMIZATION["configurations"]}
    assert {*listed, BASE / "kustomization.yaml"} == set(BASE.rglob("*.yaml"))


def test_every_service_of_the_pipelines_has_its_workers() -> None:
    commands = {name: parsed(container(name)["args"]) for name in PODS}
    workers = {name: found["services"] for name, (command, found) in commands.items() if command == "worker"}
    assert workers == {name: [name] for name in CATALOGUE.services()}
    assert {name: command for name, (command, _) in commands.items() if name not in workers} == {
        "api": "serve",
        "migrate": "migrate",
    }


@pytest.mark.parametrize("name", PODS)
class TestPod:
    def test_has_few_rights(self, name: str) -> None:
        """What the Pod Security Standard `restricted` asks for, and a root file system that nobody writes to."""
        pod, only = PODS[name]["spec"], container(name)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in only["volumeMounts"]] == ["/tmp"]
        assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"])

    def test_says_what_it_needs(self, name: str) -> None:
        assert set(container(name)["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container(name)["resources"]["limits"]

    def test_is_given_settings_that_exist(self, name: str) -> None:
        assert {variable["name"] for variable in container(name).get("env", [])} <= set(Config.model_fields)
        assert container(name)["envFrom"] == [
            {"configMapRef": {"name": "reelwork"}},
            {"secretRef": {"name": "reelwork"}},
        ]

    def test_has_labels_by_which_it_is_found(self, name: str) -> None:
        assert PODS[name]["metadata"]["labels"] == {NAME: name}


@pytest.mark.parametrize("name", of_kind("Deployment"))
class TestDeployment:
    def test_is_watched_and_has_time_to_drain(self, name: str) -> None:
        only = container(name)
        assert only["ports"] == [{"name": "http", "containerPort": 8000}]
        probes = {probe: only[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
        assert probes == {
            "startup": {"path": "/healthz", "port": "http"},
            "liveness": {"path": "/healthz", "port": "http"},
            "readiness": {"path": "/readyz", "port": "http"},
        }
        drain = Config.model_fields["REELWORK_DRAIN_SECONDS"].default
        before = only.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace = PODS[name]["spec"]["terminationGracePeriodSeconds"]
        assert grace >= before + drain + KILL_AFTER_DRAIN_SECONDS + SPARE_SECONDS

    def test_selects_its_pods_and_its_budget_does_too(self, name: str) -> None:
        mine = {"matchLabels": {NAME: name}}
        assert of_kind("Deployment")[name]["spec"]["selector"] == mine
        assert of_kind("PodDisruptionBudget")[name]["spec"] == {"maxUnavailable": 1, "selector": mine}


@pytest.mark.parametrize("name", CATALOGUE.services())
class TestScaling:
    def test_is_by_the_queues_of_the_service(self, name: str) -> None:
        spec = of_kind("ScaledObject")[name]["spec"]
        assert spec["scaleTargetRef"] == {"name": f"reelwork-{name}"}
        queues = [trigger["metadata"]["queueName"] for trigger in spec["triggers"]]
        assert sorted(queues) == sorted(s.queue for s in CATALOGUE.subscriptions if s.service == name)

    def test_is_told_in_words_that_keda_knows(self, name: str) -> None:
        spec = of_kind("ScaledObject")[name]["spec"]
        for trigger in spec["triggers"]:
            assert trigger["type"] == "rabbitmq"
            assert set(trigger["metadata"]) == TRIGGER_METADATA
            assert (trigger["metadata"]["protocol"], trigger["metadata"]["mode"]) == ("http", "QueueLength")
            assert float(trigger["metadata"]["value"]) > 0
            assert trigger["authenticationRef"] == {"name": "reelwork-queues"}
        assert "reelwork-queues" in {document["metadata"]["name"] for document in ALL}
        assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]

    def test_is_left_to_keda_alone(self, name: str) -> None:
        assert "replicas" not in of_kind("Deployment")[name]["spec"]


class TestNetwork:
    def test_all_is_forbidden_but_what_is_named(self) -> None:
        spec = of_kind("NetworkPolicy")["nothing-else"]["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert not {"ingress", "egress"} & set(spec)

    def test_only_who_fetches_reaches_the_internet_and_nothing_private(self) -> None:
        spec = of_kind("NetworkPolicy")["internet"]["spec"]
        names = next(e["values"] for e in spec["podSelector"]["matchExpressions"] if e["key"] == NAME)
        assert set(names) == {"product-finder", "video-crawler"}
        assert set(names) <= set(PODS)
        blocks = [peer["ipBlock"] for peer in spec["egress"][0]["to"]]
        barred = [ipaddress.ip_network(network) for block in blocks for network in block["except"]]
        for address in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "fd00::1", "fe80::1"):
            assert any(ipaddress.ip_address(address) in network for network in barred), address


class TestExample:
    def test_its_secrets_are_settings(self) -> None:
        lines = (EXAMPLE / "secret.env.example").read_text().splitlines()
        names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
        assert names - S3_CREDENTIALS <= set(Config.model_fields)
        assert names >= {"REELWORK_DATABASE_URL", "REELWORK_BROKER_URL", "REELWORK_OBJECTS_URL", "REELWORK_API_TOKEN"}

    def test_its_generated_settings_exist(self) -> None:
        for folder in (BASE, EXAMPLE):
            for generator in documents(folder / "kustomization.yaml")[0]["configMapGenerator"]:
                assert {line.partition("=")[0] for line in generator["literals"]} <= set(Config.model_fields)

    def test_what_scales_finds_its_secret(self) -> None:
        wanted = of_kind("TriggerAuthentication")["queues"]["spec"]["secretTargetRef"]
        generated = {g["name"]: g["envs"] for g in documents(EXAMPLE / "kustomization.yaml")[0]["secretGenerator"]}
        for reference in wanted:
            (path,) = generated[reference["name"]]
            assert f"\n{reference['key']}=" in (EXAMPLE / f"{path}.example").read_text()
