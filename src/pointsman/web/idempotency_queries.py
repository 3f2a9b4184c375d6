"""Every statement about requests that carry an Idempotency-Key; $1 to $5 are the record's primary key throughout."""

from __future__ import annotations

_THIS = "tenant_id = $1 AND key_id = $2 AND method = $3 AND path = $4 AND idempotency_key = $5"

# One statement, so that of any number of copies exactly one holds the record. A record out of date begins anew; one whose lease
# has run out is taken over with the run id that its first holder was given.
CLAIM = """
    INSERT INTO idempotency_keys AS held
        (tenant_id, key_id, method, path, idempotency_key, body_sha256, run_id, holder, lease_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + $9::interval)
    ON CONFLICT (tenant_id, key_id, method, path, idempotency_key) DO UPDATE SET
        holder = excluded.holder,
        lease_until = excluded.lease_until,
        body_sha256 = excluded.body_sha256,
        run_id = CASE WHEN held.created_at < clock_timestamp() - $10::interval THEN excluded.run_id ELSE held.run_id END,
        created_at = CASE WHEN held.created_at < clock_timestamp() - $10::interval THEN clock_timestamp() ELSE held.created_at END,
        status = NULL,
        answer = NULL
    WHERE held.created_at < clock_timestamp() - $10::interval
       OR (held.status IS NULL AND held.lease_until < clock_timestamp() AND held.body_sha256 = excluded.body_sha256)
    RETURNING run_id
"""

# Expired: it may be claimed for any request. Orphaned: its holder has died, and the same request may take it over.
FIND = f"""
    SELECT run_id, body_sha256, status, answer,
           created_at < clock_timestamp() - $6::interval AS expired,
           status IS NULL AND lease_until < clock_timestamp() AS orphaned
    FROM idempotency_keys WHERE {_THIS}
"""  # noqa: S608 - only the constant above

RENEW = f"""
    UPDATE idempotency_keys SET lease_until = clock_timestamp() + $7::interval WHERE {_THIS} AND holder = $6 AND status IS NULL
"""  # noqa: S608 - only the constant above

FINISH = f"""
    UPDATE idempotency_keys SET status = $7, answer = $8 WHERE {_THIS} AND holder = $6 AND status IS NULL
"""  # noqa: S608 - only the constant above

FREE = f"DELETE FROM idempotency_keys WHERE {_THIS} AND holder = $6 AND status IS NULL"  # noqa: S608 - only the constant above

# All of a tenant; or of a user those whose run is still there, the rest are out of date within a day. Answers are encrypted.
ERASE_TENANT = """
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys WHERE tenant_id = $1 LIMIT $2)) RETURNING 1
"""
ERASE_USER = """
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT i.ctid FROM idempotency_keys i JOIN runs r ON r.id = i.run_id
        WHERE i.tenant_id = $1 AND r.tenant_id = $1 AND r.user_id = $2 LIMIT $3
    )) RETURNING 1
"""

PURGE = """
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < clock_timestamp() - $1::interval LIMIT $2
    )) RETURNING 1
"""
