"""Which database a process works on: the server of the settings, or the embedded one of the data directory, started and stopped with it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from pointsman.cli.output import say
from pointsman.kit.embedded_pg import EmbeddedPostgres, find_dsn
from pointsman.kit.problems import Kind, Problem
from pointsman.kit.scrubbing import register_secret
from pointsman.settings import Settings


class DatabaseAbsent(Problem):
    """The data directory holds no database yet, so that there is nothing to look into, to back up or to make a key for.

    Start it once with `pointsman up`, name another directory with `--data-dir`, or a server in `POINTSMAN_DATABASE__URL`.
    """

    kind = Kind.NOT_FOUND
    code = "database-absent"
    title = "There is no database"


class Storage:
    """A context in which the database runs. An embedded server starts beside the caller, is watched, and is stopped at the end."""

    def __init__(self, settings: Settings, *, make: bool = True) -> None:
        """Choose it; without `make` an embedded one must be there. Raises DatabaseAbsent."""
        self._url = settings.database.url
        self._embedded = None if self._url else EmbeddedPostgres(settings.data_dir, log=say)
        self._starting: Future[str] | None = None
        if not make and self._url is None and find_dsn(settings.data_dir) is None:
            raise DatabaseAbsent(
                f"There is no database in {settings.data_dir}.", hint="`pointsman up` makes one; --data-dir names another directory."
            )

    def dsn(self) -> str:
        """The address, once it runs. Raises the Problem that kept it from starting."""
        dsn = self._starting.result() if self._starting else self._url.get_secret_value() if self._url else ""
        register_secret(unquote(urlsplit(dsn).password or ""))
        if self._embedded is not None:
            self._embedded.watch()
        return dsn

    def __enter__(self) -> Self:
        if self._embedded is not None:
            executor = ThreadPoolExecutor(1, thread_name_prefix="embedded-pg-start")
            self._starting = executor.submit(self._embedded.start)
            executor.shutdown(wait=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._embedded is not None and self._starting is not None and self._starting.exception() is None:
            self._embedded.stop()
