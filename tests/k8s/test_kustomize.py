"""The dev overlay rendered offline, judged by the Kubernetes schemas and by what no schema sees."""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "k8s" / "overlays" / "dev"
SERVICES = ("collector", "trainer", "deployer", "gateway")
QUANTITY = re.compile(r"^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


@pytest.fixture(scope="module")
def rendered() -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: the manifests were not rendered")
    result = subprocess.run(
        [kubectl, "kustomize", str(OVERLAY)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def objects(rendered: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(rendered) if item]


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] in kinds]


def containers(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        for container in pod.get("initContainers", []) + pod["containers"]:
            yield workload["metadata"]["name"], pod, container


def test_schemas_accept_every_object(rendered: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(rendered)
    command = [str(Path(sys.executable).parent / "kubernetes-validate"), "--strict", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_ray_component_adds_a_cluster_and_its_address(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: the manifests were not rendered")
    overlay, component = (os.path.relpath(path, tmp_path) for path in (OVERLAY, ROOT / "k8s" / "components" / "ray"))
    file = tmp_path / "kustomization.yaml"
    file.write_text(json.dumps({"resources": [overlay], "components": [component]}))
    result = subprocess.run([kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    objects = [item for item in yaml.safe_load_all(result.stdout) if item]
    (cluster,) = of_kind(objects, "RayCluster")
    config = next(i["data"] for i in of_kind(objects, "ConfigMap") if i["metadata"]["name"].startswith("boardloop"))
    assert config["BOARDLOOP_RAY_ADDRESS"] == f"ray://{cluster['metadata']['name']}-head-svc:10001"
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **group["template"]} for group in groups]
    file = tmp_path / "pods.yaml"
    file.write_text(yaml.safe_dump_all(pods))
    command = [str(Path(sys.executable).parent / "kubernetes-validate"), "--strict", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"boardloop/trainer"}


def test_a_misspelt_field_is_refused(rendered: str, tmp_path: Path) -> None:
    file = tmp_path / "dev.yaml"
    file.write_text(rendered.replace("readinessProbe:", "readynessProbe:", 1))
    command = [str(Path(sys.executable).parent / "kubernetes-validate"), "--strict", str(file)]
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0


def test_all_four_services_and_the_three_servers_are_there(objects: list[dict[str, Any]]) -> None:
    names = {item["metadata"]["name"] for item in of_kind(objects, "Deployment", "StatefulSet")}
    assert names == {*SERVICES, "mosquitto", "s3", "postgres"}
    assert all((ROOT / "services" / name / "Dockerfile").is_file() for name in SERVICES)


def test_names_are_legal_and_in_the_overlays_namespace(objects: list[dict[str, Any]]) -> None:
    for item in objects:
        assert NAME.match(item["metadata"]["name"]), item["metadata"]["name"]
        if item["kind"] != "Namespace":
            assert item["metadata"]["namespace"] == "boardloop-dev"


def test_every_service_selects_pods_that_listen_on_its_port(objects: list[dict[str, Any]]) -> None:
    pods = [item["spec"]["template"] for item in of_kind(objects, "Deployment", "StatefulSet")]
    for service in of_kind(objects, "Service"):
        selector = service["spec"]["selector"].items()
        chosen = [pod for pod in pods if selector <= pod["metadata"]["labels"].items()]
        assert len(chosen) == 1, service["metadata"]["name"]
        ports = {port["name"]: port["containerPort"] for c in chosen[0]["spec"]["containers"] for port in c["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_quantities_are_readable(objects: list[dict[str, Any]]) -> None:
    for name, _, container in containers(objects):
        for amounts in container["resources"].values():
            for amount in amounts.values():
                assert QUANTITY.match(str(amount)), f"{name}: {amount}"


def test_referenced_secrets_config_maps_and_claims_exist(objects: list[dict[str, Any]]) -> None:
    have = {(item["kind"], item["metadata"]["name"]): item for item in objects}
    for name, pod, container in containers(objects):
        for env in container.get("env", []):
            if "valueFrom" in env:
                reference = env["valueFrom"]["secretKeyRef"]
                assert reference["key"] in have["Secret", reference["name"]]["data"], f"{name}: {env['name']}"
        for source in container.get("envFrom", []):
            assert ("ConfigMap", source["configMapRef"]["name"]) in have, name
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in have, name
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in have, name
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in have, name


def test_mounted_volumes_are_declared(objects: list[dict[str, Any]]) -> None:
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        declared = {volume["name"] for volume in pod["volumes"]}
        declared |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for container in pod.get("initContainers", []) + pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= declared


def test_every_container_runs_unprivileged_with_limits_and_a_pinned_image(objects: list[dict[str, Any]]) -> None:
    for name, pod, container in containers(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"], name
        assert container["resources"]["limits"], name
        assert ":" in container["image"] and not container["image"].endswith(":latest"), name


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_given_to_a_service_is_one_of_its_settings(service: str, objects: list[dict[str, Any]]) -> None:
    settings = importlib.import_module(f"services.{service}.settings")
    fields = getattr(settings, f"{service.capitalize()}Settings").model_fields
    config = next(i for i in of_kind(objects, "ConfigMap") if i["metadata"]["name"].startswith("boardloop"))
    given = {key for key in config["data"] if not key.endswith("_ADDRESS") and "_BOARD_" not in key}  # of some services
    for name, _, container in containers(objects):
        if name == service:
            given |= {env["name"] for env in container["env"]}
    assert given, service
    assert {name.removeprefix("BOARDLOOP_").lower() for name in given} <= set(fields)


def test_the_overlays_service_key_is_32_bytes(objects: list[dict[str, Any]]) -> None:
    (secret,) = of_kind(objects, "Secret")
    assert len(base64.urlsafe_b64decode(base64.b64decode(secret["data"]["service-key"]))) == 32


def test_addresses_in_the_config_map_are_services_of_the_overlay(objects: list[dict[str, Any]]) -> None:
    ports = {i["metadata"]["name"]: i["spec"]["ports"][0]["port"] for i in of_kind(objects, "Service")}
    config = next(i for i in of_kind(objects, "ConfigMap") if i["metadata"]["name"].startswith("boardloop"))
    for key, value in config["data"].items():
        if key.endswith("_ADDRESS") or key.endswith("_URL"):
            host, _, port = value.removeprefix("mqtt://").partition(":")
            assert ports[host] == int(port), key
