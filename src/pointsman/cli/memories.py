"""`pointsman memories`."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import say, show_json, table

app = typer.Typer(help="What agents remember about users.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

MemoryId = Annotated[str, typer.Argument(help="Id of the memory.")]


@app.command("list")
def list_memories(
    *,
    user: Annotated[str | None, typer.Option("--user", help="Only about this user.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only of this agent.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List memories, newest first."""
    with connected() as client:
        memories = list(client.memories.list(user_id=user, agent_id=agent, most=most))
    if as_json:
        show_json(memories)
    else:
        table(memories, ["id", "user_id", "agent_id", "updated_at", "content"])


@app.command("create")
def create_memory(
    content: Annotated[str, typer.Argument(help="The fact.")],
    *,
    user: Annotated[str, typer.Option("--user", help="Whom it is about.")],
    agent: Annotated[str, typer.Option("--agent", help="Who is to know it.")],
    as_json: Json = False,
) -> None:
    """Tell an agent a fact about a user."""
    with connected() as client:
        memory = client.memories.create(user, agent, content)
    show_json(memory) if as_json else say(f"made memory {memory['id']}")


@app.command("edit")
def edit_memory(
    memory_id: MemoryId, content: Annotated[str, typer.Argument(help="The fact as it should be.")], *, as_json: Json = False
) -> None:
    """Correct a memory."""
    with connected() as client:
        memory = client.memories.update(memory_id, content)
    show_json(memory) if as_json else say(f"changed memory {memory_id}")


@app.command("delete")
def delete_memory(memory_id: MemoryId, *, yes: Yes = False) -> None:
    """Truly delete a memory; it is not recalled again."""
    confirm(f"Delete memory {memory_id}?", yes=yes)
    with connected() as client:
        client.memories.delete(memory_id)
    say(f"deleted memory {memory_id}")
