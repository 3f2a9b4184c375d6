"""Gateways of others, installed from the configured package index and measured on the same rows in the same run."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.fakes.upstream import Upstream

from benchmarks.processes import free_port, started, wait_until_answers
from benchmarks.targets import Target
from benchmarks.venvs import program

PEERS = ("litellm",)
_KEY = "sk-bench"
_CONFIG = """
model_list:
  - model_name: fake
    litellm_params: {{model: openai/fake, api_base: "{url}", api_key: sk-fake}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


def start_peer(name: str, upstream: Upstream, folder: Path) -> AbstractContextManager[Target]:
    """Start it with one worker until the block ends. Raises RuntimeError where it cannot be installed or started."""
    assert name == "litellm"
    return _litellm(upstream, folder)


@contextmanager
def _litellm(upstream: Upstream, folder: Path) -> Generator[Target]:
    """The LiteLLM proxy: a master key, no database, hence no limits, history or stored usage."""
    port, log, config = free_port(), folder / "litellm.log", folder / "litellm.yaml"
    config.write_text(_CONFIG.format(url=upstream.openai_url, key=_KEY))
    path = program("litellm", "litellm[proxy]>=1.108", "litellm")
    argv = [str(path), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with started(argv, offline, log) as process:
        wait_until_answers(f"http://127.0.0.1:{port}/health/liveliness", process, log)
        yield Target("litellm", [port], [process.pid], _KEY, share=0.2)
