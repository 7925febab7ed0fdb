"""The four services as four processes, with the variables that the manifests in k8s/base give their containers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from services.allinone import free_addresses
from tests.e2e.loop import eventually
from tests.servers import listens

__all__ = ["SERVICES", "Cluster", "processes"]

BASE = Path(__file__).resolve().parents[2] / "k8s" / "base"
SERVICES = ("collector", "trainer", "deployer", "gateway")


class Cluster:
    """What stands in for Kubernetes: the secret's values, addresses on loopback, and a volume for each pod."""

    def __init__(self, folder: Path, secret: dict[str, str], mqtt_url: str, **more: str) -> None:
        self._folder = folder
        self._secret = secret
        self.addresses = free_addresses(*SERVICES)
        kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
        literals = next(one for one in kustomization["configMapGenerator"] if one["name"] == "boardloop")["literals"]
        self._config = dict(line.split("=", 1) for line in literals)
        for name in SERVICES[:3]:
            self._config[f"BOARDLOOP_{name.upper()}_ADDRESS"] = self.addresses[name]
        self._config |= {"BOARDLOOP_MQTT_URL": mqtt_url, **more}

    @property
    def url(self) -> str:
        return f"http://{self.addresses['gateway']}"

    def port(self, service: str) -> int:
        return int(self.addresses[service].rpartition(":")[2])

    def environment(self, service: str) -> dict[str, str]:
        """Of the service's container; listening addresses and the volume's path are those of this machine."""
        given = {one["name"]: self._value(one) for one in container(service)["env"]}
        data = self._folder / service
        data.mkdir(exist_ok=True)
        here = {"BOARDLOOP_DATA_DIR": str(data)}
        if service == "gateway":
            here |= {"BOARDLOOP_HOST": "127.0.0.1", "BOARDLOOP_PORT": str(self.port(service))}
        else:
            here["BOARDLOOP_GRPC_ADDRESS"] = self.addresses[service]
        assert here.keys() <= given.keys() | self._config.keys(), "the manifest names every variable that differs here"
        outside = {name: value for name, value in os.environ.items() if not name.startswith("BOARDLOOP_")}
        return {**outside, **self._config, **given, **here}

    def _value(self, entry: dict[str, Any]) -> str:
        if "value" in entry:
            return str(entry["value"])
        return self._secret[entry["valueFrom"]["secretKeyRef"]["key"]]


def container(service: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((BASE / f"{service}.yaml").read_text())
    deployment = next(one for one in documents if one["kind"] in ("Deployment", "StatefulSet"))
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


@contextmanager
def processes(cluster: Cluster, folder: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Running, all four ports open; ended by SIGTERM, as pods are."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in SERVICES:
            with (folder / f"{name}.log").open("wb") as log:
                command = [sys.executable, "-m", f"services.{name}"]
                running[name] = subprocess.Popen(command, env=cluster.environment(name), stdout=log, stderr=log)
        for name in SERVICES:

            def up(name: str = name) -> bool:
                log = (folder / f"{name}.log").read_text(errors="replace")
                assert running[name].poll() is None, f"{name} ended:\n{log[-3000:]}"
                return listens(cluster.port(name))()

            eventually(up, f"{name} to listen")
        yield running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
