"""The transitions of a supervised run at which a process can be made to fail."""

from __future__ import annotations

from pointsman.kit import failpoints

OPENING = failpoints.declare("supervision.open", "A supervised run is opened: its rows, the first event and the message to a worker.")
CLAIMING = failpoints.declare("supervision.claim", "A worker takes up a supervised run, whose epoch rises.")
ASKING = failpoints.declare("supervision.ask", "It is noted that the leader of a supervised run is about to ask a model.")
CLASSIFYING = failpoints.declare(
    "supervision.classify", "The leader's classification is recorded, and with it the jobs that it comes to go out."
)
STEPPING = failpoints.declare(
    "supervision.step", "Another step of a supervised run is recorded: an answer that was not accepted, results that came back."
)
SAYING = failpoints.declare("supervision.say", "A piece of the leader's answer is stored for its readers.")
STOPPING = failpoints.declare("supervision.stop", "A job of a supervised run is cancelled, because the run is cancelled or out of time.")
ENDING = failpoints.declare("supervision.end", "A supervised run ends.")
RELEASING = failpoints.declare("supervision.release", "A worker lets go of a supervised run.", ("before",))
