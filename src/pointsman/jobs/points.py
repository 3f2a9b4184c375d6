"""Every transition of a job at which a process can be told to fail, declared together: whoever knows jobs knows all their names."""

from __future__ import annotations

from pointsman.kit.failpoints import declare

CREATING = declare("jobs.create", "A job is created: its row, its details, its first event and its message.")
CLAIMING = declare("jobs.claim", "Attempts at jobs begin: job, attempt and event; those that died with their worker are lost.")
PARKING = declare("jobs.park", "Jobs are parked, because no slot is free.", ("in",))
WAKING = declare("jobs.wake", "Parked jobs are woken: they leave the line and get a message.", ("in",))
OUTPUT = declare("jobs.output", "What jobs printed becomes events.")
FINISHING = declare("jobs.finish", "An attempt ends its job: result, attempt, event, and the slot goes to who waits for it.")
RETRYING = declare("jobs.retry", "An attempt ends and its job is queued again, by itself: a retry, more memory, or handed over.")
PAUSING = declare("jobs.pause", "An attempt ends because a person has to decide: nothing is held meanwhile.")
DECIDING = declare("jobs.decided", "A job that waited for a person is queued again.", ("in",))
CANCELLING = declare("jobs.cancel", "A job that is not running ends: it was cancelled, denied or refused.")
ASKING_AGAIN = declare("jobs.retry_asked", "Somebody has a job tried again that had ended.")
