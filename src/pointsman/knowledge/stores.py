"""Opens object stores by URI: a folder of this host, or a bucket with the credentials that the operator gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from pointsman.settings import Settings, SettingsInvalid

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# The library's own would keep a caller waiting for three minutes.
_RETRIES: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
_GOOGLE_CREDENTIALS = (
    *("service_account", "service_account_path", "service_account_key", "application_credentials"),
    *("bearer_token", "skip_signature"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is: `base` is the URI of all its objects' folder, without a slash at its end; `folder` where it is on this host."""

    base: str
    options: Mapping[str, SecretStr]
    folder: Path | None = None

    @staticmethod
    def of_store(settings: Settings) -> Place:
        """The gateway's own store. Raises SettingsInvalid."""
        url = settings.knowledge.store or (settings.data_dir.absolute() / "objects").as_uri()
        return Place.at(url, settings.knowledge.store_options)

    @staticmethod
    def at(url: str, options: Mapping[str, SecretStr]) -> Place:
        """Raises SettingsInvalid for a store that cannot be opened with these options."""
        if url.startswith("file:"):
            folder = Path(unquote(urlsplit(url).path))
            return Place(folder.as_uri().rstrip("/"), options, folder)
        if url.startswith("gs:") and not any(name.lower().removeprefix("google_") in _GOOGLE_CREDENTIALS for name in options):
            # the library would ask the host's metadata server, and wait for an answer where there is none
            raise SettingsInvalid(
                f"The store {url} has no credentials.",
                hint='Give it {"service_account_path": "/path/key.json"}, or {"skip_signature": "true"} where the bucket is public.',
            )
        return Place(url.rstrip("/"), options)

    def uri(self, key: str) -> str:
        """The URI of an object."""
        return f"{self.base}/{key}"

    def key(self, uri: str) -> str | None:
        """The key of an object; None where it lies elsewhere."""
        return uri.removeprefix(f"{self.base}/") if uri.startswith(f"{self.base}/") else None


def open_store(place: Place) -> ObjectStore:
    """Raises SettingsInvalid where the options do not fit the store."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 - a library of 20 MB, which a process that keeps no files does not need
    from obstore.store import LocalStore, from_url  # noqa: PLC0415 - as above

    if place.folder is not None:
        place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(str(place.folder))
    config: Any = {name.lower(): value.get_secret_value() for name, value in place.options.items()}
    plain = any(value.startswith("http://") for name, value in config.items() if name.endswith(("endpoint", "base_url")))
    try:
        options: ClientConfig = {"connect_timeout": "5s", "timeout": "120s", "allow_http": plain}
        return from_url(place.base, config=config, client_options=options, retry_config=_RETRIES)
    except (BaseError, ValueError) as error:
        raise SettingsInvalid(f"The store {place.base} cannot be opened: {(str(error).splitlines() or [''])[0]}.") from None


def store_failures() -> tuple[type[Exception], ...]:
    """What a store raises."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 - as above

    return (BaseError, OSError, ValueError)
