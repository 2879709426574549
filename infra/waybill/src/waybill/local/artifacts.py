"""Fetches the Java parts through jgo and verifies each against the committed lock: jgo itself verifies no sha256."""

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import requests
from jgo.maven import MavenContext

from waybill.errors import UsageError
from waybill.output import progress

LOCK = Path(__file__).with_name("artifacts.lock")
AT_ONCE = 6
SAY_EVERY = 5
ROOM_MIB = 210


class Artifact(NamedTuple):
    """A line of the lock: what it is part of, its Maven coordinate, its checksum."""

    part: str
    coordinate: str
    sha256: str


def locked(lock: Path = LOCK) -> list[Artifact]:
    """Return the lines of the lock."""
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [Artifact(*words) for words in lines]


def fetch(cache: Path, lock: Path = LOCK, say: Callable[[str], None] = progress) -> dict[str, list[Path]]:
    """Return the verified files of each part, downloaded where they are missing; `say` hears how far that is.

    UsageError: a file can't be had, or is not the one that the lock names (it is removed, so that nothing uses it).
    """
    artifacts = locked(lock)
    context = MavenContext(repo_cache=cache / "maven", timeout=60)
    missing = {each for each in artifacts if not _path(context, each).exists()}
    if missing:
        say(f"downloading {len(missing)} Java artifacts to {cache} (once, about {ROOM_MIB} MiB)")
    files: dict[str, list[Path]] = {}
    had = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {pool.submit(_verified, context, each): each for each in artifacts}
        try:
            for job in as_completed(jobs):
                files.setdefault(jobs[job].part, []).append(job.result())
                had += jobs[job] in missing
                if jobs[job] in missing and (had % SAY_EVERY == 0 or had == len(missing)):
                    say(f"downloaded {had} of {len(missing)} Java artifacts, the last one {_name(jobs[job])}")
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
            if hasattr(tarfile, "data_filter"):  # Debian 12's Python 3.11.2 has none; the archive's checksum is right
                tar.extraction_filter = tarfile.data_filter
            tar.extractall(draft)  # noqa: S202  # as above
        draft.rename(target)
    return target


def _name(artifact: Artifact) -> str:
    return artifact.coordinate.split(":")[1]


def _reason(error: BaseException) -> str:
    """Return the sentence of who resolves coordinates; of who transports, the kind alone: the rest fills pages."""
    return str(error) if isinstance(error, RuntimeError) else type(error).__name__


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
        raise UsageError(
            f"{artifact.coordinate} can't be downloaded ({_reason(error)}): see that this machine reaches Maven Central"
            " (HTTPS_PROXY names a proxy), and run `waybill up` again: what has been downloaded is kept"
        ) from error
    except OSError as error:
        raise UsageError(f"{artifact.coordinate} can't be stored in {path.parent}: {error.strerror}") from error
