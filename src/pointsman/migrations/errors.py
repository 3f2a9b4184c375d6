"""What can be in the way of a migration."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class DatabaseNotReached(Problem):
    """PostgreSQL does not answer, or does not let the user of the DSN in: the detail has its own words.

    Check host, port, user, password and database in `POINTSMAN_DATABASE__URL`, for instance with `psql` and the same DSN.
    """

    kind = Kind.UNAVAILABLE
    code = "database-not-reached"
    title = "The database cannot be reached"


class DatabaseServerUnsupported(Problem):
    """The PostgreSQL server is older than 16, or the database does not store text as UTF-8.

    Use a newer server, or make the database anew with `CREATE DATABASE pointsman ENCODING 'UTF8' TEMPLATE template0`.
    """

    kind = Kind.UNAVAILABLE
    code = "database-server-unsupported"
    title = "The database server is not supported"


class DatabaseNewerThanCode(Problem):
    """The database is at a revision that this release does not know: a newer release has migrated it already.

    Start that release or a later one, or restore a backup from before the upgrade. Nothing was changed. It also happens
    when the database belongs to another application that keeps an `alembic_version` table: give Pointsman one of its own.
    """

    kind = Kind.CONFLICT
    code = "database-newer-than-code"
    title = "The database is newer than this release"


class RevisionUnknown(Problem):
    """No revision of the schema has this name. `base` is the empty schema, the others are named in the changelog."""

    kind = Kind.INVALID
    code = "revision-unknown"
    title = "There is no such revision"


class ServiceRoleMissing(Problem):
    """Services act as the role `pointsman_service`, and the user of the DSN may neither create it nor become it.

    On a managed server an administrator makes the role once; the hint has the statements to run. Then start again.
    """

    kind = Kind.FORBIDDEN
    code = "service-role-missing"
    title = "The role pointsman_service is missing"


class MigrationNotPermitted(Problem):
    """The user of the DSN may not make or change the tables: it has to own the database or be given the rights that the hint names.

    Nothing was changed; start again when the rights are there.
    """

    kind = Kind.FORBIDDEN
    code = "migration-not-permitted"
    title = "The database user may not change the schema"


class MigrationLocked(Problem):
    """Another process migrates the same database and was not done in time, or a long transaction holds a table that has to change.

    Nothing was changed by this process. Wait for the other one and start again; `pg_stat_activity` shows who is at work.
    """

    kind = Kind.UNAVAILABLE
    code = "migration-locked"
    title = "The schema is locked by somebody else"
