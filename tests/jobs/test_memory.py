"""Learned memory: where jobs of a kind start, what teaches, and how it is forgotten."""

from __future__ import annotations

from tests.jobs.job_scene import Scene

from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.memory import CLEAN_RUNS
from pointsman.jobs.schemas import kind_of

EVIDENCE = '{"source": "docker.OOMKilled", "detail": "true"}'


async def run_out(scene: Scene, needs: int, **fields: object) -> list[int]:
    """A job that needs so much, to its end; the sizes of its attempts."""
    job = await scene.one(**fields)
    sizes: list[int] = []
    while True:
        attempt = await scene.begin(job)
        sizes.append(attempt.memory_mb)
        if attempt.memory_mb >= needs:
            await scene.end(attempt, "done", peak_memory_mb=needs)
            return sizes
        await scene.end(attempt, "ran_out", evidence=EVIDENCE, peak_memory_mb=attempt.memory_mb)


async def learned(scene: Scene) -> int | None:
    return await scene.owner.fetchval("SELECT memory_mb FROM job_memory")


async def test_the_next_job_of_a_kind_starts_where_the_last_one_was_done(scene: Scene) -> None:
    assert await run_out(scene, 300, memory_mb=128) == [128, 256, 512]
    assert await run_out(scene, 300) == [512]


async def test_an_explicit_limit_starts_there_and_teaches_where_nothing_is_known(scene: Scene) -> None:
    assert await run_out(scene, 100, memory_mb=200) == [200]
    assert await run_out(scene, 100) == [200]
    assert await run_out(scene, 100, memory_mb=700) == [700]
    assert await learned(scene) == 200


async def test_without_a_wish_and_without_experience_it_starts_at_the_most_it_may_have(scene: Scene) -> None:
    assert await run_out(scene, 100, most_memory_mb=1024) == [1024]
    assert await learned(scene) is None


async def test_a_lesson_is_one_tenants_one_engines_and_one_kinds(scene: Scene) -> None:
    await run_out(scene, 300, memory_mb=128, tenant="acme")
    assert await run_out(scene, 300, tenant="other", most_memory_mb=1024) == [1024]
    assert await run_out(scene, 300, tenant="acme", kind="command:false", most_memory_mb=1024) == [1024]
    assert await run_out(scene, 300, tenant="acme") == [512]


async def test_after_twenty_clean_runs_the_size_decays_to_what_is_used_and_half_as_much(scene: Scene) -> None:
    await run_out(scene, 1000, memory_mb=256)
    assert await learned(scene) == 1024
    for _ in range(CLEAN_RUNS - 1):  # the run that was done after running out is the first clean one, and used 1000
        assert await run_out(scene, 100) == [1024]
    assert await learned(scene) == 1024
    for _ in range(CLEAN_RUNS):
        assert await run_out(scene, 100) == [1024]
    assert await learned(scene) == 512
    for _ in range(CLEAN_RUNS):
        await run_out(scene, 300)
    assert await learned(scene) == 450


async def test_running_out_begins_the_count_anew(scene: Scene) -> None:
    await run_out(scene, 300, memory_mb=128)
    for _ in range(CLEAN_RUNS - 2):
        await run_out(scene, 100)
    await run_out(scene, 600)
    assert await learned(scene) == 1024
    await run_out(scene, 100)
    assert await learned(scene) == 1024


def test_a_kind_is_what_the_job_says_else_its_agent_else_its_first_command() -> None:
    spec = JobSpec(commands=[["pytest", "-q"], ["git", "diff"]])
    assert kind_of(spec.model_copy(update={"kind": "nightly"}), "fixer") == "kind:nightly"
    assert kind_of(spec, "fixer") == "agent:fixer"
    assert kind_of(spec, None) == "command:pytest"
    assert kind_of(JobSpec(), None) == "-"
