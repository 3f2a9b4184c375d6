"""Says of each use of a credential for whom it was, in which run and by which tool."""

from __future__ import annotations

import structlog

from pointsman.credentials.using import Use

log = structlog.get_logger()


class UseLog:
    """Is told of uses."""

    def note(self, use: Use) -> None:
        """Write it down."""
        log.info(
            "credential.used",
            tenant_id=use.tenant_id,
            user_id=use.user_id,
            integration_key=use.integration_key,
            provider=use.provider,
            run_id=use.run_id,
            tool=use.tool,
        )
