"""How PgQueuer's objects are called here, and the statements that make and drop them."""

from __future__ import annotations

from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel

SCHEMA = "queue"

# Every field is given: the class would otherwise read names such as CHANNEL and TRIGGER from the environment.
SETTINGS = DBSettings(
    prefix="",
    db_schema=SCHEMA,
    channel=Channel("pointsman_queue"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    durability=Durability.balanced,
    widen_id=False,
)

_ENVIRONMENT = QueryBuilderEnvironment(SETTINGS)
INSTALL = _ENVIRONMENT.build_install_query()
UNINSTALL = f"{_ENVIRONMENT.build_uninstall_query()}\nDROP SCHEMA {SCHEMA};"
