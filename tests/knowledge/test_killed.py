"""Real processes, killed at each transition of knowledge: a file ends indexed once or deleted, and no chunk or object is left behind."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from tests.knowledge.knowledge_scene import OPERATOR, Scene

from pointsman.settings import Settings

pytestmark = pytest.mark.timeout(120)
Dies = Callable[..., None]
ROOT = Path(__file__).parents[2]
_OLD = "UPDATE knowledge_leftovers SET due_at = clock_timestamp() WHERE due_at > clock_timestamp()"


@pytest.fixture(scope="module")
def nursery() -> Generator[Popen[str]]:
    """What the processes are forked off."""
    with Popen([sys.executable, "-m", "tests.knowledge.dying"], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def dies(nursery: Popen[str], dsn: str, settings: Settings) -> Dies:
    """Lets a process do something and die of it."""

    def die(failpoint: str, verb: str, argument: str = "") -> None:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(json.dumps([dsn, str(settings.data_dir), f"knowledge.{failpoint}", verb, argument]) + "\n")
        nursery.stdin.flush()
        assert int(nursery.stdout.readline()) == signal.SIGKILL, failpoint

    return die


async def assert_clean(scene: Scene, *, indexed: int) -> None:
    """Each entry that is not deleted is indexed once, and the objects that are there are those that entries refer to."""
    await scene.owner.execute(_OLD)
    await scene.clearing.run_once()
    assert scene.kept() == await scene.referred()
    assert len(scene.kept()) == indexed
    assert await scene.owner.fetchval("SELECT count(*) FROM knowledge_leftovers") == 0
    assert await scene.owner.fetchval("SELECT count(*) FROM knowledge_chunks") == 2 * indexed


async def test_a_worker_that_dies_with_vectors_in_hand_leaves_none_and_what_it_was_billed_for_is_counted(scene: Scene, dies: Dies) -> None:
    scene = scene.with_embedder("scripted:words")
    file = await scene.upload("One.\nTwo.")
    [message] = await scene.messages()
    for moment in ("embed.after", "index.in"):
        dies(moment, "embed", message)
        assert await scene.owner.fetchval("SELECT count(*) FROM knowledge_vectors") == 0
    assert await scene.handle(message) is None
    assert await scene.owner.fetchval("SELECT count(*) FROM knowledge_vectors") == 2
    assert await scene.owner.fetchval("SELECT sum(prompt_tokens)::int FROM token_usage") == 3 * 6  # words
    assert (await scene.file(file)).knowledge_status == "indexed"
    await assert_clean(scene, indexed=1)


@pytest.mark.parametrize("moment", ["claim.before", "claim.in", "claim.after", "read.after", "index.before", "index.in", "index.after"])
async def test_a_worker_that_dies_while_it_indexes_leaves_the_file_to_the_next(scene: Scene, dies: Dies, moment: str) -> None:
    file = await scene.upload("One.\nTwo.")
    [message] = await scene.messages()
    dies(moment, "handle", message)
    assert await scene.handle(message) is None
    assert await scene.handle(message) is None
    file = await scene.file(file)
    assert (file.status, file.knowledge_status, file.chunks) == ("active", "indexed", 2)
    await assert_clean(scene, indexed=1)


async def test_an_uploader_that_dies_leaves_a_whole_file_or_nothing_and_a_repeat_makes_it_one(scene: Scene, dies: Dies) -> None:
    for moment in ("keep.before", "keep.after", "store.before", "store.in", "store.after"):
        dies(moment, "upload", "One.\nTwo.")
        await assert_clean_uploads(scene, stored=moment == "store.after")
    await scene.upload("One.\nTwo.")
    await scene.index()
    await assert_clean(scene, indexed=1)


async def assert_clean_uploads(scene: Scene, *, stored: bool) -> None:
    await scene.owner.execute(_OLD)
    await scene.clearing.run_once()
    assert len(scene.kept()) == stored
    assert scene.kept() == await scene.referred()
    assert len(await scene.messages()) == stored


async def test_who_dies_while_a_file_is_deleted_leaves_it_whole_or_deleted(scene: Scene, dies: Dies) -> None:
    file = await scene.upload("One.\nTwo.")
    await scene.index()
    for moment in ("delete.before", "delete.in"):
        dies(moment, "delete", str(file.file_id))
        assert await scene.found("one") == ["One."]
        await assert_clean(scene, indexed=1)
    dies("delete.after", "delete", str(file.file_id))
    dies("clear.before", "clear")
    await scene.owner.execute(_OLD)
    dies("clear.after", "clear")
    await scene.service.delete_file(OPERATOR, "acme", str(file.file_id))
    await assert_clean(scene, indexed=0)


async def test_a_file_that_every_worker_dies_of_is_given_up(scene: Scene) -> None:
    file = await scene.upload("One.")
    [message] = await scene.messages()
    await scene.owner.execute("UPDATE knowledge_details SET attempts = 5")
    assert await scene.handle(message) is None
    file = await scene.file(file)
    assert (file.status, file.failure and file.failure["code"]) == ("failed", "indexing-interrupted")
    await scene.service.reindex(OPERATOR, "acme", str(file.file_id))
    await scene.index()
    assert await scene.found("one") == ["One."]
