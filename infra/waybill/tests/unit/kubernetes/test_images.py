"""The images of infra/docker are those that the manifests count on; a change of either alone is seen."""

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[5]
DOCKERFILE = ROOT / "infra" / "docker" / "service.Dockerfile"
SERVICE, OPERATOR = "Deployment letters container service", "Job provision container databases"
# what somebody changes in the Dockerfile, to what, and which sentence tells that the manifests do not follow
CHANGES = (
    ("USER 10000:10000", "USER 10001:10001", f"{SERVICE}: runs as 10000:10000, its image is made for 10001:10001"),
    ("USER 10000:10000", "USER 0:0", f"{OPERATOR}: runs as 10000:10000, its image is made for 0:0"),
    ("EXPOSE 8000", "EXPOSE 8080", f"{SERVICE}: is reached on 8000, its image on 8000, 8080"),
    ("WAYBILL_HTTP_PORT=8000", "WAYBILL_HTTP_PORT=80", f"{SERVICE}: is reached on 8000, its image on 80, 8000"),
    ("WAYBILL_SERVICE=${SERVICE}", "WAYBILL_SERVICE=checkout", f"{SERVICE}: its image would serve checkout"),
    ('["python", "serve.py"]', '["python", "-m", "serve"]', f"{SERVICE}: starts otherwise than by python serve.py"),
    (" services/inventory/src", "", "Job provision container inventory: its image has no inventory"),
    (" infra/waybill/src", "", f"{OPERATOR}: its image has no waybill"),
)


@pytest.fixture(scope="module")
def local(on_path: None) -> list[dict[str, Any]]:
    resources: list[dict[str, Any]] = importlib.import_module("cluster.rendering").build(
        ROOT / "infra" / "kubernetes" / "overlays" / "local"
    )
    return resources


def test_the_manifests_count_on_the_images_that_are_built(checks: Any, local: list[dict[str, Any]]) -> None:
    assert list(checks.images.problems(local)) == []


@pytest.mark.parametrize(("was", "becomes", "says"), CHANGES, ids=lambda it: str(it)[:40])
def test_an_image_that_changes_by_itself_is_seen(
    checks: Any, local: list[dict[str, Any]], was: str, becomes: str, says: str
) -> None:
    text = DOCKERFILE.read_text()
    assert was in text
    assert says in list(checks.images.problems(local, text.replace(was, becomes)))
