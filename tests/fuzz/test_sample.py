"""A small part of `make fuzz`, the same each time."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.campaign import Campaign
from tests.fuzz.report import written
from tests.fuzz.scene import scene_on


def test_a_sample_of_generated_requests_is_answered_as_the_document_says(dsn: str, tmp_path: Path) -> None:
    with scene_on(dsn, tmp_path) as scene:
        tally = Campaign(scene, 1).run(200, seconds=45)
        defects = scene.defects()
    assert not tally.failures, written(tally, 1, defects, [])
    assert not defects, defects
    assert {cell.principal for cell in tally.cells} == {"operator", "tenant", "reader", "stranger"}
    assert {"2xx", "4xx"} <= {cell.status for cell in tally.cells}
