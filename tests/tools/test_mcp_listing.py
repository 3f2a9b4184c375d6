"""What a server says that it offers is taken within bounds, and what differs is told by name."""

from __future__ import annotations

from typing import Any

import mcp_types
import pytest

from pointsman.tools.mcp.errors import McpListingRefused
from pointsman.tools.mcp.listing import read_listing
from pointsman.tools.mcp.results import cut, outcome_of
from pointsman.tools.mcp.rows import PinnedTool, difference, sha256_of, without
from pointsman.tools.references import Filled


def tool(name: str = "t", description: str = "d", **schema: Any) -> mcp_types.Tool:
    return mcp_types.Tool(name=name, description=description, input_schema={"type": "object", **schema})


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        ([tool(f"t{number}") for number in range(11)], "more than 10 tools"),
        ([tool(description="x" * 5000)], "5"),
        ([tool("x" * 256)], "256 characters"),
        ([tool("")], "0 characters"),
        ([tool(**nested(40))], "deeper than"),
        ([tool(properties=5)], "no JSON Schema"),
        ([mcp_types.Tool(name="t", input_schema={"type": "array"})], "takes no object"),
    ],
)
def test_what_is_too_much_or_no_tool_is_refused(offered: list[mcp_types.Tool], words: str) -> None:
    with pytest.raises(McpListingRefused, match=words):
        read_listing(offered, most=10, most_bytes=4096)


def test_the_hash_stands_for_everything_that_a_model_is_told() -> None:
    one = read_listing([tool("b"), tool("a")], most=10, most_bytes=4096)
    assert [entry.name for entry in one] == ["a", "b"]
    assert sha256_of(one) == sha256_of(read_listing([tool("a"), tool("b")], most=10, most_bytes=4096))
    others = [tool("a", "other"), tool("a", required=["x"]), tool("c")]
    hints = tool("a").model_copy(update={"annotations": mcp_types.ToolAnnotations(read_only_hint=True)})
    seen = {sha256_of(read_listing([changed, tool("b")], most=10, most_bytes=4096)) for changed in [*others, hints]}
    assert (len(seen), sha256_of(one) in seen) == (4, False)


def test_a_difference_is_told_by_names() -> None:
    old = [PinnedTool("a", "", {}), PinnedTool("b", "", {}), PinnedTool("c", "", {})]
    new = [PinnedTool("b", "else", {}), PinnedTool("c", "", {}), PinnedTool("d", "", {})]
    assert difference(old, new) == (["d"], ["a"], ["b"])


def test_a_result_is_told_as_what_it_is_and_once() -> None:
    text = mcp_types.TextContent(text='{"a": 1}')
    both = mcp_types.CallToolResult(content=[text, mcp_types.TextContent(text="Besides.")], structured_content={"a": 1})
    assert outcome_of(both, str, most=100) == ('{"a": 1}\nBesides.', False)
    several = mcp_types.CallToolResult(
        content=[mcp_types.TextContent(text="1"), mcp_types.TextContent(text="2")], structured_content={"result": [1, 2]}
    )
    assert outcome_of(several, str, most=100) == ('{"result": [1, 2]}', False)
    blob = mcp_types.BlobResourceContents(uri="file:///a.bin", mime_type="application/x", blob="AAAA")
    link = mcp_types.ResourceLink(uri="file:///b", name="b", description="The other.")
    odd = mcp_types.CallToolResult(content=[mcp_types.EmbeddedResource(resource=blob), link], is_error=True)
    told = "[resource file:///a.bin application/x, 3 bytes: not shown]\n[resource file:///b The other.]"
    assert outcome_of(odd, str, most=1000) == (told, True)
    assert outcome_of(mcp_types.CallToolResult(content=[]), str, most=100) == ("The tool returned nothing.", False)


def test_what_a_server_repeats_is_taken_out_before_a_text_is_cut_and_before_tools_are_kept() -> None:
    filled = Filled({"Authorization": "Bearer s3cret-token"}, ["s3cret-token"])
    said = mcp_types.CallToolResult(content=[mcp_types.TextContent(text="You sent s3cret-token, thank you.")])
    assert "s3c" not in outcome_of(said, filled.scrub, most=15).content
    echoing = read_listing([tool("a", "Sent with s3cret-token."), tool("b")], most=10, most_bytes=4096)
    kept = without(echoing, filled.scrub)
    assert (kept[0].description, kept[1]) == ("Sent with ***.", echoing[1])


def test_a_text_is_cut_between_characters_and_kept_free_of_what_no_column_takes() -> None:
    assert cut("äöü", 4) == "äö\n[cut off: 2 more bytes]"
    assert cut("a\0b", 100) == "a\ufffdb"
