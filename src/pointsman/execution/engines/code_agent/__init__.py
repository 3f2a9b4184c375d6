"""Lets a model, or a coding agent with a command line, work in the sandbox."""

from __future__ import annotations

from pointsman.execution.engines import Parts
from pointsman.execution.engines.code_agent.builtin import BuiltinEngine
from pointsman.execution.engines.code_agent.command_line import CommandLineEngine
from pointsman.execution.handlers import BuiltinAgent, CommandAgent, read_handler
from pointsman.execution.ports import Engine
from pointsman.execution.rows import ExecutionEngine


def make(engine: ExecutionEngine, parts: Parts) -> Engine:
    """The engine that the row's `handler` names."""
    handler = read_handler(engine.type, engine.handler_config)
    if isinstance(handler, CommandAgent):
        return CommandLineEngine(handler, parts)
    assert isinstance(handler, BuiltinAgent)
    return BuiltinEngine(handler, parts)
