"""The manifests hold, and every kind of mistake in them is found."""

import copy
import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from infra.waybill.tests.unit.kubernetes.mistakes import MISTAKES
from infra.waybill.tests.unit.kubernetes.planted import Mistake, plant

ROOT = Path(__file__).parents[5]
OVERLAYS = ("local", "prod")


@pytest.fixture(scope="module")
def overlays(on_path: None) -> dict[str, list[dict[str, Any]]]:
    build = importlib.import_module("cluster.rendering").build
    return {name: build(ROOT / "infra" / "kubernetes" / "overlays" / name) for name in OVERLAYS}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_holds(checks: Any, overlays: dict[str, Any], overlay: str) -> None:
    assert Counter(each["kind"] for each in overlays[overlay])["Deployment"] >= 5
    assert list(checks.problems(overlays[overlay])) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda it: f"{it.check}: {it.says}")
def test_a_planted_mistake_is_found(checks: Any, overlays: dict[str, Any], mistake: Mistake) -> None:
    resources = copy.deepcopy(overlays[mistake.overlay])
    plant(resources, mistake)
    if mistake.check == "schemas":  # which looks at each by itself, and takes its time
        resources = [each for each in resources if each not in overlays[mistake.overlay]]
    said = list(getattr(checks, mistake.check).problems(resources))
    assert any(mistake.says in each for each in said), said


def test_in_production_a_node_that_dies_takes_one_broker_and_one_controller_at_most(overlays: dict[str, Any]) -> None:
    pools = [each for each in overlays["prod"] if each["kind"] == "KafkaNodePool"]
    assert {tuple(pool["spec"]["roles"]) for pool in pools} == {("broker",), ("controller",)}
    for pool in pools:
        (spread,) = pool["spec"]["template"]["pod"]["topologySpreadConstraints"]
        assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "DoNotSchedule")
        assert spread["labelSelector"]["matchLabels"] == {"strimzi.io/pool-name": pool["metadata"]["name"]}


def test_each_check_has_mistakes_that_it_finds(checks: Any) -> None:
    assert {mistake.check for mistake in MISTAKES} == {
        check.__module__.removeprefix("cluster.") for check in checks.CHECKS
    }


def test_an_overlay_that_kustomize_refuses_is_wrong(
    manifests: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [not-there.yaml]\n")
    assert list(manifests.wrong(tmp_path)) == ["kustomize refuses it"]
    assert "not-there.yaml" in capfd.readouterr().err
