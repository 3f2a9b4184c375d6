"""What an attempt remembers for whoever goes on after it, written while it works."""

from __future__ import annotations

import uuid
from typing import Any

from pointsman.kit import json_text
from pointsman.kit.db import Connection

_REMEMBER = "UPDATE job_details SET checkpoint = $3::json WHERE job_id = $1 AND epoch = $2"


async def remember(connection: Connection, job_id: uuid.UUID, epoch: int, checkpoint: dict[str, Any]) -> bool:
    """Whether it is written: not where the job is another attempt's by now."""
    return await connection.execute(_REMEMBER, job_id, epoch, json_text.encode(checkpoint)) != "UPDATE 0"
