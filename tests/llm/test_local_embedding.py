"""A model in a folder, made by hand: what its tokens come to, how they are pooled, and what is wrong with folders."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from pointsman.llm.embedding.embedder import Embedder
from pointsman.llm.errors import ModelUnavailable
from pointsman.settings import KnowledgeSettings, Settings, SettingsInvalid
from pointsman.usage.cost import cost_of

pytest.importorskip("onnxruntime", reason="the extra local-embeddings is not installed")
tokenizers: Any = pytest.importorskip("tokenizers", reason="the extra local-embeddings is not installed")

TABLE = {"[PAD]": (9.0, 9.0), "[UNK]": (0.0, 0.0), "tea": (3.0, 0.0), "milk": (0.0, 4.0), "query": (1.0, 1.0)}


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def value_info(name: str, kind: int, *dimensions: str) -> bytes:
    shape = b"".join(field(1, field(2, dimension)) for dimension in dimensions)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def model() -> bytes:
    """Looks up each token's vector: the least that an embedding model is."""
    numbers = [number for row in TABLE.values() for number in row]
    table = field(1, len(TABLE)) + field(1, 2) + field(2, 1) + field(8, "table") + field(9, struct.pack(f"<{len(numbers)}f", *numbers))
    node = field(1, "table") + field(1, "input_ids") + field(2, "out") + field(4, "Gather")
    inputs = [field(11, value_info(name, 7, "batch", "length")) for name in ("input_ids", "attention_mask")]
    output = field(12, value_info("out", 1, "batch", "length", "width"))
    graph = field(1, node) + field(2, "graph") + field(5, table) + b"".join(inputs) + output
    return field(1, 8) + field(8, field(2, 17)) + field(7, graph)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(model())
    words = tokenizers.models.WordLevel({word: place for place, word in enumerate(TABLE)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def embedder(folder: Path) -> Embedder:
    made = Embedder.of(Settings(knowledge=KnowledgeSettings(embedder=f"local:{folder}")))
    assert made is not None
    return made


async def test_tokens_are_averaged_without_padding_and_vectors_have_length_one(folder: Path) -> None:
    made = await embedder(folder).embed(["tea milk", "tea"])
    assert made.vectors == [[pytest.approx(0.6), pytest.approx(0.8)], [1.0, 0.0]]
    [spend] = made.spent
    assert (spend.model, spend.usage.prompt_tokens, spend.usage.is_estimated) == ("local:/tiny", 3, False)
    assert cost_of(spend.model, spend.usage) == 0


async def test_the_folder_says_how_it_is_pooled_how_much_it_reads_and_what_stands_before_a_query(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert (await embedder(folder).embed(["milk tea"])).vectors == [[0.0, 1.0]]
    (folder / "1_Pooling" / "config.json").unlink()
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 2}))
    assert (await embedder(folder).embed(["tea tea milk milk"])).vectors == [[1.0, 0.0]]
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query "}}))
    asked, told = await embedder(folder).embed(["tea"], query=True), await embedder(folder).embed(["tea"])
    assert (asked.vectors, told.vectors) == ([[pytest.approx(4 / 17**0.5), pytest.approx(1 / 17**0.5)]], [[1.0, 0.0]])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("onnx/model.onnx", None, "does not have tokenizer.json and model.onnx"),
        ("onnx/model.onnx", b"no model", "cannot be read"),
        ("tokenizer.json", b"{}", "cannot be read"),
        ("sentence_bert_config.json", b"[1]", "is no JSON object"),
    ],
)
async def test_a_folder_without_a_usable_model_is_told_by_its_name(folder: Path, name: str, content: bytes | None, says: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(SettingsInvalid, match=says):
        await embedder(folder).open()
    with pytest.raises(ModelUnavailable, match="local:/tiny"):
        await embedder(folder).embed(["tea"])


def test_dimensions_of_a_model_in_a_folder_are_its_own() -> None:
    with pytest.raises(SettingsInvalid, match="EMBEDDER_DIMENSIONS"):
        Embedder.of(Settings(knowledge=KnowledgeSettings(embedder="local:/srv/models/tiny", embedder_dimensions=64)))
