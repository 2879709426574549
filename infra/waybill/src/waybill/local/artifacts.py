"""Fetches the Java parts through jgo and verifies each against the committed lock: jgo itself verifies no sha256."""

import hashlib
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import requests
from jgo.maven import MavenContext

from waybill.errors import UsageError
from waybill.output import progress

LOCK = Path(__file__).with_name("artifacts.lock")
AT_ONCE = 6


class Artifact(NamedTuple):
    """A line of the lock: what it is part of, its Maven coordinate, its checksum."""

    part: str
    coordinate: str
    sha256: str


def locked(lock: Path = LOCK) -> list[Artifact]:
    """Return the lines of the lock."""
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [Artifact(*words) for words in lines]


def fetch(cache: Path, lock: Path = LOCK) -> dict[str, list[Path]]:
    """Return the verified files of each part, downloaded where they are missing.

    UsageError: a file can't be had, or is not the one that the lock names (it is removed, so that nothing uses it).
    """
    artifacts = locked(lock)
    context = MavenContext(repo_cache=cache / "maven", timeout=60)
    missing = sum(not _path(context, each).exists() for each in artifacts)
    if missing:
        progress(f"downloading {missing} Java artifacts to {cache} (once)")
    files: dict[str, list[Path]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {pool.submit(_verified, context, each): each for each in artifacts}
        try:
            for number, job in enumerate(as_completed(jobs), start=1):
                files.setdefault(jobs[job].part, []).append(job.result())
                if missing and number % 12 == 0:
                    progress(f"  {number} of {len(artifacts)}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {part: sorted(paths) for part, paths in files.items()}


def unpacked(archive: Path, folder: Path) -> Path:
    """Return the folder with an archive's content, unpacked once."""
    target = folder / archive.name.removesuffix(".tar.gz")
    if not target.exists():
        draft = target.with_name(f".{target.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(draft, filter="data")
        draft.rename(target)
    return target


def _path(context: MavenContext, artifact: Artifact) -> Path:
    group, name, version, packaging, *classifier = artifact.coordinate.split(":")
    component = context.project(group, name).at_version(version)
    return Path(component.artifact(classifier="".join(classifier), packaging=packaging).cached_path or "")


def _verified(context: MavenContext, artifact: Artifact) -> Path:
    path = _path(context, artifact)
    if not path.exists():
        _download(context, artifact, path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != artifact.sha256:
        path.unlink()
        raise UsageError(f"{artifact.coordinate} has sha256 {found}, the lock says {artifact.sha256}: it was removed")
    return path


def _download(context: MavenContext, artifact: Artifact, path: Path) -> None:
    """Download into a folder beside the cache, so that a broken download is never taken for a whole file."""
    drafts = MavenContext(repo_cache=context.repo_cache.with_name("incoming"), timeout=context.timeout)
    draft = _path(drafts, artifact)
    draft.unlink(missing_ok=True)
    group, name, version, packaging, *classifier = artifact.coordinate.split(":")
    component = drafts.project(group, name).at_version(version)
    try:
        component.artifact(classifier="".join(classifier), packaging=packaging).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(path)
    except (requests.RequestException, RuntimeError) as error:
        raise UsageError(f"{artifact.coordinate} can't be downloaded: {error}") from error
    except OSError as error:
        raise UsageError(f"{artifact.coordinate} can't be stored in {path.parent}: {error.strerror}") from error
