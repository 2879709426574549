"""The Pods of a set of manifests: what each container is told, and which files it is given."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from waybill.kubernetes.resource import Resource

LABEL = "app.kubernetes.io/name"
OURS = re.compile(r"(?:.*/)?waybill/(?P<package>\w+)(?::.+)?")


class Source(NamedTuple):
    """Where a file in a container comes from: a key of a secret or of a ConfigMap."""

    kind: str
    name: str
    key: str


@dataclass(frozen=True)
class Container:
    """A container; `env` as it will see it, `files` by path."""

    pod: "Pod"
    raw: Resource
    env: Mapping[str, str]
    files: Mapping[str, Source]

    def __str__(self) -> str:
        return f"{self.pod} container {self.raw['name']}"

    @property
    def package(self) -> str | None:
        """Return whose image it runs, if it is one of ours: "checkout", "operator"."""
        image = OURS.fullmatch(self.raw["image"])
        return image["package"] if image else None

    @property
    def module(self) -> str:
        """Return what `python -m` runs; nothing where the image says what to run."""
        command = self.raw.get("command", [])
        return str(command[2]) if command[:2] == ["python", "-m"] else ""

    @property
    def words(self) -> list[str]:
        """Return the command's words behind the module, variables filled in."""
        return [re.sub(r"\$\((\w+)\)", lambda it: self.env[it[1]], word) for word in self.raw.get("command", [])[3:]]


@dataclass(frozen=True)
class Pod:
    """What one workload's Pods are like."""

    kind: str
    name: str
    template: Resource
    maps: Mapping[str, Mapping[str, str]]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def own_name(self) -> str:
        """Return a name as one of the Pods may have it."""
        return f"{self.name}-abcde"

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the Pods."""
        found: Mapping[str, str] = self.template["metadata"]["labels"]
        return found

    @property
    def spec(self) -> Resource:
        """What runs in the Pods."""
        found: Resource = self.template["spec"]
        return found

    @cached_property
    def containers(self) -> list[Container]:
        """Every container, those that run first included."""
        raw = [*self.spec.get("initContainers", []), *self.spec["containers"]]
        return [Container(self, each, self._env(each), dict(self._files(each))) for each in raw]

    def _env(self, container: Resource) -> dict[str, str]:
        told: dict[str, str] = {}
        for source in container.get("envFrom", []):
            told |= self.maps.get(source["configMapRef"]["name"], {})
        return told | {each["name"]: self._value(each) for each in container.get("env", [])}

    def _value(self, entry: Resource) -> str:
        if "value" in entry:
            return str(entry["value"])
        path = entry["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
        if label := re.fullmatch(r"metadata\.labels\['(.+)'\]", path):
            return self.labels[label[1]]
        return self.own_name if path == "metadata.name" else "(secret)"

    def _files(self, container: Resource) -> Iterator[tuple[str, Source]]:
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"], {})  # a claim of a StatefulSet is none of these
            for part in volume.get("projected", {}).get("sources", [volume]):
                for path, source in self._part(part):
                    yield str(PurePosixPath(mount["mountPath"]) / path), source

    def _part(self, part: Resource) -> Iterator[tuple[str, Source]]:
        for kind, field in (("secret", "secretName"), ("configMap", "name")):
            if kind in part:
                name = part[kind].get(field) or part[kind]["name"]
                whole = [{"key": key, "path": key} for key in self.maps.get(name, {})]
                for item in part[kind].get("items", whole):
                    yield item["path"], Source(kind, name, item["key"])


def pods(resources: Sequence[Resource]) -> list[Pod]:
    """Return the Pods that these resources make."""
    maps = {each["metadata"]["name"]: each["data"] for each in resources if each["kind"] == "ConfigMap"}
    return [
        Pod(each["kind"], each["metadata"]["name"], template, maps)
        for each in resources
        if (template := _template(each)) is not None
    ]


def _template(resource: Resource) -> Any:
    if resource["kind"] == "CronJob":
        return resource["spec"]["jobTemplate"]["spec"]["template"]
    return resource["spec"]["template"] if resource["kind"] in {"Deployment", "StatefulSet", "Job"} else None


def services(resources: Sequence[Resource]) -> list[Pod]:
    """Return the Pods of the shop's services and of the gateway."""
    labels = {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in resources
              if each["kind"] == "Deployment"}  # fmt: skip
    return [
        pod
        for pod in pods(resources)
        if pod.kind == "Deployment" and labels[pod.name].get("app.kubernetes.io/component") == "service"
    ]
