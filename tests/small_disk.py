"""A disk of a few megabytes that can be filled and freed, and a PostgreSQL cluster of the test's own that lives on one."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import free_port

BLOCK = 64 * 1024


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users may look into; pytest keeps its own closed."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a tmpfs of so many megabytes; skip where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode:
        why = done.stderr.strip() if done else "there is no mount"
        pytest.skip(f"a small disk cannot be mounted ({why}): this test needs root, or CAP_SYS_ADMIN in a container")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leaving: int = 0) -> Path:
    """Write a file until not a byte more goes, then give so many bytes back; return the file, which is to be deleted."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = BLOCK
        while size:
            try:
                file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
        file.truncate(file.tell() - leaving)
    return ballast


class Cluster:
    """A PostgreSQL of the test's own: ``url`` is a database of it; its files are in ``folder``, its write-ahead log in another."""

    def __init__(self, folder: Path, log_folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        self._bin = _programs()
        for each in (folder, log_folder):
            own(each)
        plain = ("--username=postgres", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8")
        self._run("initdb", f"--waldir={log_folder}", "--wal-segsize=1", *plain)
        self._run("pg_resetwal")  # of the log's segments one is left, so that the next but few must be made anew
        settings = {
            "port": self.port,
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{folder}'",
            "max_wal_size": "1GB",  # no checkpoint by size or by time, for it would make room by using old segments again
            "checkpoint_timeout": "1h",
            "shared_buffers": "16MB",
            "fsync": "on",
            "restart_after_crash": "off",  # restart() is not to meet it half way
            "autovacuum": "off",  # or it would take room when nobody expects it
        }
        with (folder / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self.log = folder / "log"

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", f"--log={self.log}")

    def restart(self) -> None:
        """Start it again after a crash; that it has ended is waited for."""
        self.stop()
        self.start()

    def stop(self) -> None:
        if (self.folder / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "--wait", "--mode=immediate", check=False)  # it may end by itself meanwhile

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self._bin / program), f"--pgdata={self.folder}", *arguments]
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            command = ["runuser", "--user=postgres", "--", *command]
        # Its output goes nowhere rather than into a pipe, which the server would keep open.
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        assert not check or done.returncode == 0, f"{program} failed"


@contextmanager
def cluster(folder: Path, log_folder: Path) -> Iterator[Cluster]:
    """Run a PostgreSQL whose files are in ``folder`` and whose write-ahead log is in ``log_folder``; both are empty."""
    made = Cluster(folder, log_folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def own(folder: Path) -> Path:
    """Make a folder the server's own, and return it."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    return folder


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no initdb in /usr/lib/postgresql: install the PostgreSQL server (on Debian: apt-get install postgresql)")
    return found[-1].parent
