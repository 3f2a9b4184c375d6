"""Signed links: looking decides nothing, the form decides once, and nothing that was changed or is too old is taken."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
from tests.approvals.approval_scene import Office, opened_office, remember
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller
from tests.e2e.gateways import GatewayProcess, start_gateway


@pytest.fixture(scope="module")
def linking(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Generator[GatewayProcess]:
    """A replica where the operator has enabled links."""
    folder: Path = tmp_path_factory.mktemp("linking")
    gateway = start_gateway(scene.dsn, folder, scene.upstream, POINTSMAN_APPROVALS__LINKS_URL="https://agents.example.org/gateway/")
    try:
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
async def person(linking: GatewayProcess) -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody with a browser and no key."""
    async with httpx.AsyncClient(base_url=linking.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
async def office(scene: Scene, caller: Caller, linking: GatewayProcess) -> AsyncGenerator[Office]:
    async with opened_office(scene, caller) as office:
        await office.boss.aclose()
        office.boss = Caller(linking.url, office.boss.http.headers["authorization"].removeprefix("Bearer "))
        yield office
        await office.boss.aclose()


async def links_of(office: Office, approval: str) -> dict[str, str]:
    """Their paths."""
    made = await office.boss.post(f"/v2/approvals/{approval}/links", {})
    assert made["approve"].startswith("https://agents.example.org/gateway/v2/approvals/")
    return {choice: made[choice].removeprefix("https://agents.example.org/gateway") for choice in ("approve", "deny")}


def token_of(page: httpx.Response) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


async def test_a_link_shows_and_its_form_decides_once(office: Office, person: httpx.AsyncClient) -> None:
    asked = await office.asked("<script>alert('tea')</script>")
    links = await links_of(office, asked["id"])
    page = await person.get(links["approve"])
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert asked["args_sha256"] in page.text
    assert (await office.boss.get(f"/v2/approvals/{asked['id']}"))["status"] == "pending"
    other = token_of(await person.get(links["deny"]))
    assert (await person.post(links["approve"], data={"token": other})).status_code == 403
    assert (await person.post(links["approve"])).status_code == 403
    assert (await person.post(links["approve"], data={f"field{number}": "1" for number in range(9)})).status_code == 403
    decided = await person.post(links["approve"], data={"token": token_of(page), "note": "By phone."})
    assert decided.status_code == 200
    assert (await office.ended(asked["run_id"]))["status"] == "completed"
    assert await office.facts() == ["<script>alert('tea')</script>"]
    read = await office.boss.get(f"/v2/approvals/{asked['id']}")
    assert (read["status"], read["decided_by"], read["note"]) == ("approved", "link", "By phone.")
    assert (await office.audited(asked["id"]))[-1][2]["way"] == "link"
    assert (await person.post(links["deny"], data={"token": other})).json()["code"] == "approval-decided"
    assert "approved" in (await person.get(links["deny"])).text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("choice=deny", "choice=approve"),
        ("expires=1", "expires=2"),
        ("signature=", "signature=0"),
        ("signature=", "other="),
        ("choice=deny", ""),
    ],
)
async def test_a_link_that_was_changed_is_refused_like_one_to_nothing(
    office: Office, person: httpx.AsyncClient, old: str, new: str
) -> None:
    asked = await office.asked()
    link = (await links_of(office, asked["id"]))["deny"]
    changed = await person.get(link.replace(old, new))
    nothing = await person.get(link.replace(asked["id"], asked["id"][:-4] + "zzzz"))
    assert (changed.status_code, changed.json()["code"]) == (nothing.status_code, nothing.json()["code"]) == (403, "approval-link-invalid")


async def test_who_may_not_decide_gets_no_links_and_where_they_are_off_nobody_does(office: Office, linking: GatewayProcess) -> None:
    answer = await office.paused(await office.agent(remember("x")))
    path = f"/v2/approvals/{answer['approvals'][0]['id']}/links"
    asker = Caller(linking.url, office.worker.http.headers["authorization"].removeprefix("Bearer "))
    assert (await asker.http.post(path)).json()["code"] == "approval-own-run"
    await asker.aclose()
    off = await office.operator.http.post(path)
    assert (off.status_code, off.json()["code"]) == (409, "approval-links-disabled")
