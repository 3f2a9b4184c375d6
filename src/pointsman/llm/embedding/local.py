"""An embedding model in a folder of the operator's, in the layout of Sentence Transformers with an ONNX export; nothing is downloaded."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pointsman.llm.embedding.port import Reply, Vector
from pointsman.settings import SettingsInvalid

_MODELS = ("model.onnx", "onnx/model.onnx")
_TOKENIZER = "tokenizer.json"
_USUAL_LENGTH = 512  # tokens, where the folder does not say
_EXTRA = "pip install 'pointsman[local-embeddings]'"


def open_adapter(folder: Path) -> LocalEmbedding:
    """An adapter for the model in the folder. Reads all of it: not for the event loop. Raises SettingsInvalid."""
    try:
        import onnxruntime  # noqa: PLC0415 - an extra, and 30 MB
        import tokenizers  # noqa: PLC0415 - as above
    except ImportError:
        raise SettingsInvalid("A model in a folder needs two libraries that are not installed.", hint=f"{_EXTRA}.") from None
    model = next((path for name in _MODELS if (path := folder / name).is_file()), None)
    if model is None or not (folder / _TOKENIZER).is_file():
        raise SettingsInvalid(f"{folder} does not have {_TOKENIZER} and {' or '.join(_MODELS)}.", hint="Export the model to ONNX.")
    library: Any = tokenizers
    runtime: Any = onnxruntime
    try:
        tokenizer = library.Tokenizer.from_file(str(folder / _TOKENIZER))
        session = runtime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    except Exception as error:
        words = str(error).splitlines()[0][:200]
        raise SettingsInvalid(f"The embedding model in {folder} cannot be read: {words}", hint="Export it anew.") from error
    tokenizer.enable_truncation(_longest(folder))
    tokenizer.enable_padding()
    return LocalEmbedding(tokenizer, session, _prompts(folder), by_first=_is_pooled_by_first(folder))


class LocalEmbedding:
    """Runs the model in a thread, one batch at a time: it takes every processor it is given."""

    def __init__(self, tokenizer: Any, session: Any, prompts: tuple[str, str], *, by_first: bool) -> None:
        """`prompts` stand before what is looked for and before what is looked through; `by_first` takes the first token's vector."""
        self._tokenizer = tokenizer
        self._session = session
        self._prompts = prompts
        self._by_first = by_first
        self._inputs = [given.name for given in session.get_inputs()]
        self._running = threading.Lock()

    async def embed(self, texts: Sequence[str], *, query: bool) -> Reply:
        prompt = self._prompts[0 if query else 1]
        return await asyncio.to_thread(self._embed, [prompt + text for text in texts])

    async def aclose(self) -> None:
        return

    def _embed(self, texts: list[str]) -> Reply:
        import numpy as np  # noqa: PLC0415 - comes with the extra

        encoded = self._tokenizer.encode_batch(texts)
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        known = {
            "input_ids": np.array([each.ids for each in encoded], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([each.type_ids for each in encoded], dtype=np.int64),
        }
        with self._running:
            made: Any = self._session.run(None, {name: known[name] for name in self._inputs})[0]
        # Some exports pool by themselves: one vector a text, and not one a token.
        pooled = made if made.ndim == 2 else made[:, 0] if self._by_first else _mean(made, mask)
        lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        vectors: list[Vector] = (pooled / np.maximum(lengths, 1e-12)).astype(float).tolist()
        return Reply(vectors, int(mask.sum()))


def _mean(made: Any, mask: Any) -> Any:
    weights = mask[:, :, None].astype(made.dtype)
    return (made * weights).sum(axis=1) / weights.sum(axis=1).clip(min=1)


def _longest(folder: Path) -> int:
    said = _read(folder / "sentence_bert_config.json").get("max_seq_length")
    return said if isinstance(said, int) and 0 < said <= 100_000 else _USUAL_LENGTH


def _is_pooled_by_first(folder: Path) -> bool:
    return _read(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token") is True


def _prompts(folder: Path) -> tuple[str, str]:
    """What the model wants before a query and before a document."""
    said = _read(folder / "config_sentence_transformers.json").get("prompts")
    prompts = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    return str(prompts.get("query") or ""), str(prompts.get("document") or prompts.get("passage") or "")


def _read(path: Path) -> dict[str, Any]:
    """A file of the folder that may be missing. Raises SettingsInvalid for one that is no JSON object."""
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise SettingsInvalid(f"{path} is no JSON object.", hint="Export the model anew.")
    return cast("dict[str, Any]", said)
