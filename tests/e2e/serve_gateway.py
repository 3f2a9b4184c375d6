"""A replica as a process: `python serve_gateway.py`, everything by `POINTSMAN_…`, on a migrated database; prints its address."""

from __future__ import annotations

from pointsman.api.app import create_app
from pointsman.api.server import run, serve
from pointsman.bootstrap import Gateway, routers
from pointsman.kit import log
from pointsman.settings import load_settings


async def main() -> None:
    settings = load_settings()
    log.configure(settings.log.level, settings.log.format)
    assert settings.database.url is not None
    gateway = await Gateway.open(settings, settings.database.url.get_secret_value())
    await gateway.start()
    try:
        await serve(create_app(gateway, routers()), settings, gateway.draining, lambda url: print(url, flush=True))
    finally:
        await gateway.close()


if __name__ == "__main__":
    run(main())
