"""The transitions of knowledge at which a process can be made to fail."""

from __future__ import annotations

from pointsman.kit import failpoints

KEEPING = failpoints.declare(
    "knowledge.keep", "An upload's object is about to be written, which is noted before it is there.", ("before", "after")
)
STORING = failpoints.declare("knowledge.store", "An uploaded file's rows are written, and with them the message to a worker.")
CLAIMING = failpoints.declare("knowledge.claim", "A worker takes up a file to index it, whose epoch rises.")
READING = failpoints.declare("knowledge.read", "A file was read and cut into chunks, which are not written yet.", ("after",))
EMBEDDING = failpoints.declare("knowledge.embed", "A file's vectors were made and counted, and are not written yet.", ("after",))
INDEXING = failpoints.declare("knowledge.index", "A file's new chunks replace the former ones, and its status changes with them.")
FAILING = failpoints.declare("knowledge.fail", "It is noted that a file cannot be indexed.")
DELETING = failpoints.declare("knowledge.delete", "A file is deleted with its chunks, and its object is nobody's.")
CLEARING = failpoints.declare("knowledge.clear", "Objects that nobody refers to are removed.", ("before", "after"))
