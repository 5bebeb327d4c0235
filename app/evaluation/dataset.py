"""The data of one sandbox: a DuckDB file, made once, opened in milliseconds, read from worker threads.

A file is built in a folder beside its place and moved there when it is complete, so a crash leaves either no data set
or a whole one. Opened for reading, several processes may share it. Opened for writing, it belongs to one process:
records are appended one batch at a time, each in a transaction that is on disk when the call returns, while queries go
on with what was there when they began. Statements see no other file and no network, and cannot change these settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from app.errors import InternalError
from app.evaluation import arrivals, luma, model
from app.evaluation.arrivals import Placed, Record
from app.evaluation.errors import DatasetUnreadable, EvaluationTimedOut, EvaluationTooLarge
from app.evaluation.luma import SampleSpec
from app.evaluation.workers import Workers

FORMAT = 1
"""Goes up when tables change, so that files of an older release are made anew."""

T = TypeVar("T")

Connection = duckdb.DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Limits:
    """What queries and builds may take. Memory is for all queries of a data set together; more than ``concurrency``
    queries wait. ``timeout_s`` of a query and ``batch_timeout_s`` of a job count from the request, waiting included.
    """

    timeout_s: float = 30.0
    batch_timeout_s: float = 1800.0
    memory_mb: int = 1024
    build_memory_mb: int = 2048
    threads: int = 2
    concurrency: int = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is: ``done`` of ``total`` steps, and what it does now."""

    done: int
    total: int
    step: str


OnProgress = Callable[[Progress], None]


class Dataset:
    """An open data file. `Dataset.open_or_create` is the usual way to get one; `close` it in the end."""

    def __init__(
        self,
        path: Path,
        connection: Connection,
        namespace: str,
        spec: SampleSpec,
        limits: Limits,
        *,
        writable: bool,
    ) -> None:
        self.path = path
        self.namespace = namespace
        self.spec = spec
        self.limits = limits
        self.writable = writable
        self._connection = connection
        self._profiles = _count_profiles(connection)
        self._workers = Workers(limits.concurrency)
        self._writer = Workers(1)

    @property
    def profiles(self) -> int:
        """How many profiles there are; their numbers run from 0 to one less.

        The first ``spec.profiles`` of them are the sample, whose numbers follow a hash; the rest arrived later.
        """
        return self._profiles

    @classmethod
    async def open(cls, path: Path, *, limits: Limits | None = None, writable: bool = False) -> Dataset:
        """Open a file, for `append` as well when it shall be ``writable``. Raises `DatasetUnreadable`."""
        return await asyncio.to_thread(_open, path, limits or Limits(), writable=writable)

    @classmethod
    async def create(
        cls,
        path: Path,
        namespace: str,
        spec: SampleSpec,
        *,
        limits: Limits | None = None,
        writable: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Make the Luma sample at ``path``, replacing what is there, and open it.

        ``on_progress`` is called on the event loop. A cancelled build is stopped and leaves ``path`` as it was.
        """
        limits = limits or Limits()
        await _build_off_loop(path, namespace, spec, limits, on_progress)
        return await cls.open(path, limits=limits, writable=writable)

    @classmethod
    async def open_or_create(
        cls,
        path: Path,
        namespace: str,
        spec: SampleSpec,
        *,
        limits: Limits | None = None,
        writable: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Open the file when it holds a sample of this namespace, size and seed; make it otherwise.

        An existing file keeps the ``as_of`` with which it was made.
        """
        try:
            dataset = await cls.open(path, limits=limits, writable=writable)
        except DatasetUnreadable:
            return await cls.create(path, namespace, spec, limits=limits, writable=writable, on_progress=on_progress)
        if (dataset.namespace, dataset.spec.profiles, dataset.spec.seed) == (namespace, spec.profiles, spec.seed):
            return dataset
        await dataset.close()
        return await cls.create(path, namespace, spec, limits=limits, writable=writable, on_progress=on_progress)

    async def run(
        self,
        work: Callable[[Connection], T],
        *,
        timeout_s: float | None = None,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> T:
        """Run ``work`` with a connection of its own in a worker thread; stop it when the caller is cancelled.

        All its statements see the rows as they were when it began. Raises `EvaluationTimedOut` after ``timeout_s``
        (default: that of the limits) and `EvaluationTooLarge`. ``on_interrupt`` is called when the work shall stop,
        for what it does between its statements.
        """
        return await self._run(self._workers, "BEGIN TRANSACTION READ ONLY", work, timeout_s, on_interrupt)

    async def append(self, records: Sequence[Record], numbers: Sequence[int] | None = None) -> list[Placed]:
        """Write records that arrived, and return where each went. They are on disk, and seen by later queries, then.

        ``numbers`` are the profiles that they belong to, where the caller knows: see `app.evaluation.arrivals.append`.
        Calls wait for each other, not for queries. Raises `InvalidRequest` for a record that cannot be kept; then none
        of the batch is.
        """

        if not self.writable:
            raise InternalError(f"{self.path.name} is open for reading only")

        def work(connection: Connection) -> tuple[list[Placed], int]:
            placed = arrivals.append(connection, self.namespace, records, numbers)
            return placed, _count_profiles(connection)

        placed, self._profiles = await self._run(self._writer, "BEGIN TRANSACTION", work)
        return placed

    async def _run(
        self,
        workers: Workers,
        begin: str,
        work: Callable[[Connection], T],
        timeout_s: float | None = None,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> T:
        timeout_s = self.limits.timeout_s if timeout_s is None else timeout_s
        connection = self._connection.cursor()

        def in_transaction() -> T:
            connection.execute(begin)
            result = work(connection)
            connection.execute("COMMIT")
            return result

        def interrupt() -> None:
            on_interrupt()
            connection.interrupt()

        try:
            return await workers.run(in_transaction, interrupt=interrupt, timeout_s=timeout_s)
        except TimeoutError as error:
            raise EvaluationTimedOut(
                f"The query was stopped after {timeout_s:g} s.",
                hint="Narrow the rule, or try again when less is going on.",
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise EvaluationTooLarge(
                f"The query needed more than {self.limits.memory_mb} MB.", hint="Narrow the rule."
            ) from error
        finally:
            connection.close()  # an open transaction is rolled back

    async def close(self) -> None:
        """Wait for running queries and close the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._workers.close()
        self._writer.close()
        self._connection.close()


# Opening --------------------------------------------------------------------------------------------------------


def _open(path: Path, limits: Limits, *, writable: bool) -> Dataset:
    if not path.is_file():
        raise DatasetUnreadable(f"There is no data set at {path.name}.")
    try:
        connection = duckdb.connect(str(path), read_only=not writable, config=_config(limits.memory_mb, limits, path))
    except duckdb.Error as error:
        raise DatasetUnreadable(f"The data set {path.name} cannot be opened.") from error
    try:
        namespace, spec = _read_description(connection, path)
        _seal(connection)
    except BaseException:
        connection.close()
        raise
    return Dataset(path, connection, namespace, spec, limits, writable=writable)


def _config(memory_mb: int, limits: Limits, path: Path) -> dict[str, Any]:
    return {
        "memory_limit": f"{memory_mb}MB",
        "threads": limits.threads,
        "temp_directory": str(path.with_name(path.name + ".spill")),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def _seal(connection: Connection) -> None:
    """Close every way out of the file. Not part of the configuration: the spill folder must be set before.

    A file that is open in this process already shares its database, which is sealed.
    """
    if connection.execute("SELECT current_setting('lock_configuration')").fetchone() == (True,):
        return
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _count_profiles(connection: Connection) -> int:
    row = connection.execute(f"SELECT count(*) FROM {model.PROFILES.table}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def _read_description(connection: Connection, path: Path) -> tuple[str, SampleSpec]:
    try:
        row = connection.execute("SELECT format, namespace, profiles, seed, as_of FROM description").fetchone()
    except duckdb.Error as error:
        raise DatasetUnreadable(f"The data set {path.name} has no description.") from error
    if row is None or row[0] != FORMAT:
        raise DatasetUnreadable(f"The data set {path.name} was made by another version.")
    _, namespace, profiles, seed, as_of = row
    return namespace, SampleSpec(profiles, seed, as_of.replace(tzinfo=UTC))


# Building -------------------------------------------------------------------------------------------------------


async def _build_off_loop(
    path: Path, namespace: str, spec: SampleSpec, limits: Limits, on_progress: OnProgress | None
) -> None:
    loop = asyncio.get_running_loop()
    workers = Workers(1)
    building = _Build(path, namespace, spec, limits)

    def report(progress: Progress) -> None:
        if on_progress is not None:
            loop.call_soon_threadsafe(on_progress, progress)

    try:
        await workers.run(lambda: building.run(report), interrupt=building.interrupt)
    finally:
        workers.close()


def build(
    path: Path, namespace: str, spec: SampleSpec, *, limits: Limits | None = None, on_progress: OnProgress | None = None
) -> None:
    """Make the sample at ``path`` and wait for it: `Dataset.create` for programs without an event loop."""
    _Build(path, namespace, spec, limits or Limits()).run(on_progress or (lambda _: None))


class _Build:
    """One build, in the thread that calls `run`; `interrupt` may be called from another."""

    def __init__(self, path: Path, namespace: str, spec: SampleSpec, limits: Limits) -> None:
        self._path = path
        self._namespace = namespace
        self._spec = spec
        self._limits = limits
        self._folder = path.with_name(path.name + ".building")
        self._connection: Connection | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        self._interrupted = True
        if self._connection is not None:
            # The build may have ended, and closed its connection, a moment ago.
            with contextlib.suppress(duckdb.ConnectionException):
                self._connection.interrupt()

    def run(self, report: OnProgress) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        try:
            part = self._folder / self._path.name
            self._fill(part, report)
            part.replace(self._path)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _fill(self, part: Path, report: OnProgress) -> None:
        config = _config(self._limits.build_memory_mb, self._limits, part)
        with duckdb.connect(str(part), config=config) as connection:
            self._connection = connection
            total = luma.count_steps(self._spec)
            for done, step in enumerate(luma.steps(self._spec)):
                report(Progress(done, total, step.title))
                self._check()
                connection.execute(step.sql)
            self._check()
            self._describe(connection)
            connection.execute("CHECKPOINT")
            report(Progress(total, total, "done"))
            self._connection = None

    def _check(self) -> None:
        if self._interrupted:
            raise duckdb.InterruptException("the build was stopped")

    def _describe(self, connection: Connection) -> None:
        as_of: datetime = self._spec.as_of.astimezone(UTC).replace(tzinfo=None)
        connection.execute(
            """CREATE TABLE description (format INTEGER, namespace VARCHAR, profiles INTEGER, seed BIGINT,
                                         as_of TIMESTAMP)"""
        )
        connection.execute(
            "INSERT INTO description VALUES (?, ?, ?, ?, ?)",
            [FORMAT, self._namespace, self._spec.profiles, self._spec.seed, as_of],
        )
