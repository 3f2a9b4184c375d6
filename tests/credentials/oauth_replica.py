"""A replica that needs a token, many times at once; one that is to die does so between the provider's answer and its commit."""

from __future__ import annotations

import asyncio
import json
import os
import signal

from tests.credentials.oauth_scene import FakeProvider, refresher_of

from pointsman.credentials.provider_api import Granted, ProviderApi
from pointsman.credentials.providers import Provider
from pointsman.credentials.using import CredentialUse, RunUser
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Database
from pointsman.kit.problems import Problem


class Mortal:
    """The port `Asks`: dies with the answer in hand."""

    def __init__(self, api: ProviderApi) -> None:
        self._api = api

    async def refresh(self, provider: Provider, refresh_token: str) -> Granted:
        granted = await self._api.refresh(provider, refresh_token)
        if os.environ["DIES"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return granted


async def main() -> None:
    db = await Database.connect(os.environ["DSN"], pool_size=20)
    api = ProviderApi()
    ring, providers = KeyRing(os.environ["RING"].split()), FakeProvider(os.environ["PROVIDER"]).providers()
    use = CredentialUse(refresher_of(db, ring, Mortal(api), providers), ring, providers, None, lambda _use: None)

    async def call() -> str:
        try:
            return await use.use(RunUser("acme", "ann", "run_1"), "k", tool="crm__find")
        except Problem as problem:
            return problem.code

    results = await asyncio.gather(*(call() for _ in range(int(os.environ["CALLS"]))))
    await api.aclose()
    await db.close()
    print(json.dumps(results))


if __name__ == "__main__":
    asyncio.run(main())
