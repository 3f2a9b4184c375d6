"""An approval is told over the operator's channels, once each, with links, and again where a channel failed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest
from tests.webhooks.conftest import LINKS, Post

from pointsman.webhooks.delivering import Deliverer
from pointsman.webhooks.errors import NotifyUnusable
from pointsman.webhooks.notifying import Channels

# Apprise loads a module of the standard library that a later one has not; it brings its own for that.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
async def channels(post: Post) -> AsyncGenerator[Channels]:
    """One channel, which is the receiver."""
    channels = post.channels([post.receiver.url.replace("http://", "json://")])
    await channels.open(post.db)
    yield channels
    channels.close()


async def test_an_approval_is_told_over_a_channel_with_links_and_again_after_a_failure(post: Post, channels: Channels) -> None:
    post.receiver.answers = ["500 No", "200 OK"]
    deliverer = Deliverer(post.db, post.sender.send, channels)
    await post.ask()
    await deliverer.run_once()
    assert await post.states() == [("pending", 1, None)]
    await post.hurry()
    await deliverer.run_once()
    assert await post.states() == [("delivered", 2, None)]
    told = json.loads(post.receiver.got[-1][1])
    assert told["title"] == "Approval needed: deploy"
    assert all(text in told["message"] for text in ("production", "ask: deploy", "Risk: high", LINKS.approve, LINKS.deny, "apr_1"))


async def test_what_was_decided_meanwhile_is_told_to_nobody(post: Post, channels: Channels) -> None:
    await post.ask()
    post.pending = False
    await Deliverer(post.db, post.sender.send, channels).run_once()
    assert await post.states() == [("cancelled", 1, None)]
    assert post.receiver.got == []


async def test_a_channel_keeps_what_waits_over_a_restart_and_goes_with_its_setting(post: Post, channels: Channels) -> None:
    await post.ask()
    again = post.channels([post.receiver.url.replace("http://", "json://")])
    await again.open(post.db)
    assert again.ids == channels.ids
    again.close()
    assert len(await post.states()) == 1
    none = post.channels()
    await none.open(post.db)
    none.close()
    assert await post.states() == []


async def test_no_url_of_a_channel_is_stored(post: Post, channels: Channels) -> None:
    assert len(channels.ids) == 1
    port = post.receiver.url.split(":")[2].partition("/")[0]
    assert port not in str(await post.owner.fetch("SELECT id FROM notify_channels"))


async def test_a_url_that_apprise_does_not_understand_is_named_by_its_place_only(post: Post) -> None:
    with pytest.raises(NotifyUnusable) as refused:
        post.channels(["json://127.0.0.1", "nonsense://hush-hush"])
    assert "entry 2" in refused.value.detail
    assert "hush" not in str(refused.value.detail) + refused.value.hint
