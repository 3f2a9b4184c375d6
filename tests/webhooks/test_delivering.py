"""What is told arrives, signed, at least once and under one id, whoever dies or answers badly meanwhile."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.kit.conftest import Names
from tests.sessions.session_scene import principal
from tests.webhooks.conftest import ACME, Post, posting

from pointsman.kit.egress import Egress, EgressRefused
from pointsman.webhooks import delivery_queries
from pointsman.webhooks.delivering import Deliverer
from pointsman.webhooks.errors import WebhookDeliveryNotFound, WebhookDisabled, WebhookNotFound, WebhooksTooMany
from pointsman.webhooks.pace import DELAYS, LEASE, MOST_ATTEMPTS, delay
from pointsman.webhooks.rows import Due, Outcome
from pointsman.webhooks.schemas import Replay, WebhookCreate, WebhookPatch
from pointsman.webhooks.sending import Sender
from pointsman.webhooks.settling import settle


async def test_the_end_of_a_run_is_told_once_to_its_tenant_alone_signed_by_the_standard(post: Post) -> None:
    endpoint = await post.endpoint("run.completed", "run.failed")
    run = await post.end_run()
    await post.end_run(tenant="other")
    await post.end_run(tenant="")
    assert await post.deliver() == 1
    assert await post.deliver() == 0
    ((headers, body),) = post.receiver.got
    told = Webhook(endpoint.secret).verify(body, headers)
    assert (told["type"], told["data"]["id"], told["data"]["status"]) == ("run.completed", run, "completed")
    assert headers["webhook-id"].startswith("evt_")
    assert await post.states() == [("delivered", 1, 200)]


async def test_where_nobody_listens_nothing_is_written(post: Post) -> None:
    await post.endpoint("job.finished")
    await post.end_run()
    assert await post.states() == []


async def test_an_approval_is_told_when_it_is_asked_for_and_when_it_is_decided(post: Post) -> None:
    await post.endpoint("approval.requested", "approval.decided")
    await post.ask()
    await post.owner.execute("UPDATE approvals SET status = 'denied', decided_by = 'boss', decided_at = now(), note = 'No.'")
    await post.deliver()
    told = {json.loads(body)["type"]: json.loads(body)["data"] for _, body in post.receiver.got}
    assert told["approval.requested"]["status"] == "pending"
    assert told["approval.requested"]["tool_args"]["to"] == "production"
    assert (told["approval.decided"]["status"], told["approval.decided"]["decided_by"]) == ("denied", "boss")


async def test_the_end_of_a_job_is_told(post: Post) -> None:
    await post.endpoint("job.finished")
    job = await post.owner.fetchval("INSERT INTO execution_jobs (prompt) VALUES ('x') RETURNING id")
    await post.owner.execute(
        "INSERT INTO job_details (job_id, tenant_id, worker_pool, kind, job_spec, max_attempts, most_memory_mb, timeout_seconds)"
        " VALUES ($1, 'acme', 'p', 'k', '{}', 1, 64, 60)",
        job,
    )
    await post.owner.execute("UPDATE execution_jobs SET status = 'failed', last_failure_reason = 'cancelled', completed_at = now()")
    await post.deliver()
    ((_, body),) = post.receiver.got
    assert (json.loads(body)["data"]["id"], json.loads(body)["data"]["last_failure_reason"]) == (str(job), "cancelled")


class UndoneError(Exception):
    """The change is taken back."""


async def test_what_is_rolled_back_is_not_told(post: Post) -> None:
    await post.endpoint()
    run = await post.talk.open("s", tenant="acme")
    with suppress(UndoneError):
        async with post.owner.transaction():
            await post.owner.execute("UPDATE runs SET status = 'completed', completed_at = now() WHERE id = $1", run)
            assert len(await post.states()) == 1
            raise UndoneError
    assert await post.states() == []


async def test_both_secrets_sign_while_one_follows_the_other_and_then_the_new_one_alone(post: Post) -> None:
    first = await post.endpoint("run.completed")
    second = await post.service.rotate_secret(ACME, first.id)
    await post.end_run()
    await post.deliver()
    headers, body = post.receiver.got[-1]
    for secret in (first.secret, second.secret):
        Webhook(secret).verify(body, headers)
    await post.owner.execute("UPDATE webhook_endpoints SET previous_until = clock_timestamp()")
    await post.end_run()
    await post.deliver()
    headers, body = post.receiver.got[-1]
    Webhook(second.secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first.secret).verify(body, headers)


async def test_a_receiver_that_fails_gets_it_again_under_the_same_id(post: Post) -> None:
    endpoint = await post.endpoint("run.completed")
    post.receiver.answers = ["500 No", "200 OK"]
    await post.end_run()
    await post.deliver()
    assert await post.states() == [("pending", 1, 500)]
    assert (await post.service.require_endpoint(ACME, endpoint.id)).failures == 1
    assert await post.deliver() == 0  # it is put off
    await post.hurry()
    await post.deliver()
    assert await post.states() == [("delivered", 2, 200)]
    (first, one), (second, two) = post.receiver.got
    assert (first["webhook-id"], one) == (second["webhook-id"], two)
    assert (await post.service.require_endpoint(ACME, endpoint.id)).failures == 0


async def test_what_somebody_died_with_is_taken_by_another_when_the_lease_is_over(post: Post) -> None:
    await post.endpoint("run.completed")
    await post.end_run()
    async with post.db.transaction() as connection:
        (dead,) = await delivery_queries.claim(connection, LEASE, {}, each=4, most=9)
    assert await post.deliver() == 0
    await post.hurry()
    assert await post.deliver() == 1
    async with post.db.transaction() as connection:
        await settle(connection, dead, Outcome(delivered=False, error="too late"))
    assert await post.states() == [("delivered", 2, 200)]


async def test_whoever_dies_in_the_last_attempt_leaves_it_failed(post: Post) -> None:
    await post.endpoint("run.completed")
    await post.end_run()
    await post.owner.execute("UPDATE webhook_deliveries SET attempts = $1", MOST_ATTEMPTS)
    assert await post.deliver() == 0
    assert await post.states() == [("failed", MOST_ATTEMPTS, None)]


async def test_replicas_that_look_at_once_send_each_thing_once(post: Post) -> None:
    await post.endpoint("run.completed")
    for number in range(6):
        await post.end_run(session=f"s{number}")
    for _ in range(6):
        await asyncio.gather(*(post.deliver() for _ in range(3)))
    assert len({headers["webhook-id"] for headers, _ in post.receiver.got}) == len(post.receiver.got) == 6


async def test_an_endpoint_that_is_gone_is_disabled_with_what_waits_for_it(post: Post) -> None:
    endpoint = await post.endpoint("run.completed")
    post.receiver.answers = ["410 Gone"]
    for number in range(6):
        await post.end_run(session=f"s{number}")
    await post.deliver()
    seen = await post.service.require_endpoint(ACME, endpoint.id)
    assert (seen.enabled, seen.disabled_reason) == (False, "it answered 410 Gone")
    assert {status for status, _, _ in await post.states()} <= {"failed", "cancelled"}
    await post.end_run(session="later")
    assert len(await post.states()) == 6
    with pytest.raises(WebhookDisabled):
        await post.service.replay(ACME, endpoint.id, Replay.model_validate({"since": "2020-01-01T00:00:00Z"}))
    audited = await post.owner.fetch("SELECT action, tenant_id FROM audit_log ORDER BY id")
    assert [(row["action"], row["tenant_id"]) for row in audited] == [("webhook.created", "acme"), ("webhook.disabled", "acme")]


async def test_a_silent_endpoint_holds_up_no_other(post: Post) -> None:
    await post.endpoint("run.completed")
    post.receiver.silent = True
    async with posting(post.db, post.owner, post.talk, post.receiver, "127.0.0.1"):
        for number in range(20):
            await post.end_run(session=f"s{number}")
        channels = post.channels()
        deliverer = Deliverer(post.db, post.sender.send, channels)
        assert await deliverer.take() == 4
        assert await deliverer.take() == 0
        other = await post.service.create_endpoint(principal(owner="other"), WebhookCreate(url=post.receiver.url))
        await post.end_run(tenant="other")
        assert await deliverer.run_once() == 1
        channels.close()
    rows = await post.owner.fetch("SELECT status, last_error FROM webhook_deliveries WHERE attempts > 0 AND endpoint_id <> $1", other.id)
    assert {(row["status"], row["last_error"]) for row in rows} == {("pending", "The URL did not answer in full within 2 s.")}


async def test_a_redirect_is_not_followed(post: Post) -> None:
    await post.endpoint("run.completed")
    post.receiver.answers = [f"302 Found\r\nLocation: {post.receiver.url}", "200 OK"]
    await post.end_run()
    await post.deliver()
    assert len(post.receiver.got) == 1
    assert await post.states() == [("pending", 1, 302)]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://localhost/",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
        ),
        *("https://user:pass@example.com/", "http://0x7f.1/", "http://[::ffff:10.0.0.1]/", "ftp://example.com/", "gopher://x/"),
    ],
)
async def test_an_address_that_is_not_public_is_refused_when_it_is_stored_and_when_it_is_sent_to(post: Post, url: str) -> None:
    async with posting(post.db, post.owner, post.talk, post.receiver) as strict:
        with pytest.raises(EgressRefused):
            await strict.endpoint(url=url)
        endpoint = await post.endpoint("run.completed")
        with pytest.raises(EgressRefused):
            await strict.service.update_endpoint(ACME, endpoint.id, WebhookPatch(url=url))
        due = Due(
            id="d", whom=endpoint.id, tenant_id="acme", event_id="e", event_type="t", subject_id="s", payload="{}", attempts=1, url=url
        )
        outcome = await strict.sender.send(due)
    assert (outcome.delivered, outcome.status) == (False, None)
    assert post.receiver.got == []


@pytest.mark.parametrize(("allowed", "arrives"), [((), False), (("127.0.0.1",), True)])
async def test_a_name_that_leads_to_an_internal_address_is_refused_when_it_is_sent_to(
    post: Post, allowed: tuple[str, ...], arrives: bool
) -> None:
    port = post.receiver.url.rsplit(":", 1)[1].rstrip("/")
    due = Due(
        id="d",
        whom="w",
        tenant_id="acme",
        event_id="e",
        event_type="t",
        subject_id="s",
        payload="{}",
        attempts=1,
        url=f"http://hooks.example.com:{port}",
    )
    egress = Egress(allowed, resolver=Names({"hooks.example.com": [["127.0.0.1"]]}))
    outcome = await Sender(egress, post.keyring, within=timedelta(seconds=2)).send(due)
    await egress.aclose()
    assert outcome.delivered == arrives
    assert len(post.receiver.got) == int(arrives)


async def test_a_test_event_says_what_was_answered_and_is_not_repeated(post: Post) -> None:
    endpoint = await post.endpoint()
    told = await post.service.test_endpoint(ACME, endpoint.id)
    assert (told.delivered, told.status, told.answer) == (True, 200, "heard")
    headers, body = post.receiver.got[-1]
    assert Webhook(endpoint.secret).verify(body, headers)["type"] == "webhook.test"
    post.receiver.answers = ["500 No"]
    told = await post.service.test_endpoint(ACME, endpoint.id)
    assert (told.delivered, told.status) == (False, 500)
    assert [status for status, _, _ in await post.states()] == ["delivered", "failed"]


async def test_what_failed_is_sent_again_on_request_under_its_old_id(post: Post) -> None:
    endpoint = await post.endpoint("run.completed")
    await post.end_run()
    await post.end_run(session="t")
    await post.deliver()
    await post.owner.execute(
        "UPDATE webhook_deliveries SET status = 'failed' WHERE ordinal = (SELECT min(ordinal) FROM webhook_deliveries)"
    )
    since = {"since": "2020-01-01T00:00:00Z"}
    assert await post.service.replay(ACME, endpoint.id, Replay.model_validate(since)) == 1
    await post.deliver()
    ids = [headers["webhook-id"] for headers, _ in post.receiver.got]
    assert (len(ids), ids[2] in ids[:2]) == (3, True)
    assert await post.service.replay(ACME, endpoint.id, Replay.model_validate(since | {"include_delivered": True})) == 2
    await post.deliver()
    (newest, *_) = (await post.service.list_deliveries(ACME, endpoint.id, status="delivered", limit=9, cursor=None)).items
    assert await post.service.replay(ACME, endpoint.id, Replay(delivery_id=newest.id)) == 1
    assert await post.deliver() == 1
    with pytest.raises(WebhookDeliveryNotFound):
        await post.service.replay(ACME, endpoint.id, Replay(delivery_id="dlv_none"))


async def test_a_disabled_endpoint_is_told_nothing_and_a_deleted_one_is_gone_with_its_secret(post: Post) -> None:
    endpoint = await post.endpoint("run.completed")
    await post.end_run()
    await post.service.update_endpoint(ACME, endpoint.id, WebhookPatch(enabled=False))
    assert [status for status, _, _ in await post.states()] == ["cancelled"]
    await post.end_run()
    assert len(await post.states()) == 1
    await post.service.delete_endpoint(ACME, endpoint.id)
    await post.service.delete_endpoint(ACME, endpoint.id)
    with pytest.raises(WebhookNotFound):
        await post.service.require_endpoint(ACME, endpoint.id)
    assert await post.owner.fetchval("SELECT encrypted_secret FROM webhook_endpoints") == ""


async def test_no_tenant_sees_or_touches_anothers_endpoint(post: Post) -> None:
    endpoint = await post.endpoint()
    other = principal(owner="other")
    for attempt in (
        post.service.require_endpoint(other, endpoint.id),
        post.service.delete_endpoint(other, endpoint.id),
        post.service.rotate_secret(other, endpoint.id),
        post.service.test_endpoint(other, endpoint.id),
        post.service.list_deliveries(other, endpoint.id, status=None, limit=9, cursor=None),
        post.service.replay(other, endpoint.id, Replay(delivery_id="x")),
        post.service.update_endpoint(other, endpoint.id, WebhookPatch(enabled=False)),
    ):
        with pytest.raises(WebhookNotFound):
            await attempt
    assert (await post.service.list_endpoints(other, limit=9, cursor=None)).items == []
    assert post.receiver.got == []


async def test_a_secret_is_stored_encrypted_and_shown_once(post: Post) -> None:
    endpoint = await post.endpoint()
    stored = await post.owner.fetchval("SELECT encrypted_secret FROM webhook_endpoints")
    assert endpoint.secret.startswith("whsec_")
    assert endpoint.secret.removeprefix("whsec_") not in stored
    later = await post.service.require_endpoint(ACME, endpoint.id)
    assert "secret" not in later.model_dump()
    assert endpoint.secret not in str(await post.owner.fetch("SELECT detail::text FROM audit_log"))


async def test_a_tenant_has_a_bounded_number_of_endpoints(post: Post) -> None:
    for _ in range(20):
        await post.endpoint()
    with pytest.raises(WebhooksTooMany):
        await post.endpoint()


def test_attempts_are_spread_over_a_day_and_wait_as_long_as_they_are_asked_to() -> None:
    assert timedelta(hours=23) < sum(DELAYS, timedelta()) <= timedelta(hours=24)
    assert delay(MOST_ATTEMPTS) is None
    first = [delay(1) for _ in range(20)]
    assert all(each is not None and DELAYS[0] * 0.8 <= each <= DELAYS[0] * 1.2 for each in first)
    assert len(set(first)) > 1
    assert delay(1, timedelta(minutes=7)) == timedelta(minutes=7)
    assert delay(1, timedelta(days=7)) == timedelta(hours=1)
