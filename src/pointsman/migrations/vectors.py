"""The table of vectors, which is there where the server has pgvector: made after each upgrade, so that it may be installed later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection as SyncConnection

# Not every user may create the extension; whoever may not goes on without, and an administrator can do it at any time.
_EXTENSION = """
DO $body$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $body$
"""
_CAN_BE_KEPT = "SELECT to_regtype('halfvec') IS NOT NULL AND to_regclass('public.knowledge_chunks') IS NOT NULL"
_TABLE = """
CREATE TABLE IF NOT EXISTS knowledge_vectors (
    entry_id uuid NOT NULL,
    ordinal integer NOT NULL,
    tenant_id varchar(255) NOT NULL,
    embedder varchar(255) NOT NULL,
    embedding halfvec NOT NULL,
    CONSTRAINT pk_knowledge_vectors PRIMARY KEY (entry_id, ordinal),
    CONSTRAINT fk_knowledge_vectors_entry_id_ordinal FOREIGN KEY (entry_id, ordinal)
        REFERENCES knowledge_chunks (entry_id, ordinal) ON DELETE CASCADE
)
"""
_REST = (
    "CREATE INDEX IF NOT EXISTS ix_knowledge_vectors_tenant_id ON knowledge_vectors (tenant_id)",
    # Within the row, up to a page: a search reads every vector of its tenant, and each that lies elsewhere is another look-up.
    "ALTER TABLE knowledge_vectors ALTER COLUMN embedding SET STORAGE MAIN",
    "ALTER TABLE knowledge_vectors ENABLE ROW LEVEL SECURITY",
    "DROP POLICY IF EXISTS tenant ON knowledge_vectors",
    "CREATE POLICY tenant ON knowledge_vectors USING (tenant_id = (SELECT current_setting('pointsman.tenant', true)))",
)


def add_vectors(connection: SyncConnection) -> None:
    """Make the table if vectors can be kept and it is not there."""
    connection.exec_driver_sql(_EXTENSION)
    if connection.exec_driver_sql(_CAN_BE_KEPT).scalar_one():
        for statement in (_TABLE, *_REST):
            connection.exec_driver_sql(statement)
