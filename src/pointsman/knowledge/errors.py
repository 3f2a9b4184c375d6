"""What can go wrong with knowledge."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class KnowledgeNotFound(Problem):
    """There is no knowledge of this tenant for this key, or no file with this id in it. Other tenants' files look exactly like this.

    `GET /v2/knowledge/-/files` lists the files of the tenant that the key works in.
    """

    kind = Kind.NOT_FOUND
    code = "knowledge-not-found"
    title = "There is no such file"


class UploadInvalid(Problem):
    """The upload can be read but is wrong: a part is missing, unknown or has a value that does not fit; `errors` says which.

    Send multipart/form-data with a part `file`, and where wanted `file_type`, `metadata` and `file_id`; or JSON with `uri`.
    """

    kind = Kind.INVALID
    code = "upload-invalid"
    title = "The upload is not valid"


class UploadMalformed(Problem):
    """The body is not the multipart/form-data that its Content-Type announces, or it was cut off.

    Let the client's library make the body and its boundary.
    """

    kind = Kind.MALFORMED
    code = "upload-malformed"
    title = "The upload cannot be read"


class EmbedderMissing(Problem):
    """The search asked for vectors alone, and this gateway has nothing that would make them, or its database cannot keep them.

    Search with mode `text`, or `hybrid`, which uses what is there. The operator names an embedder with `POINTSMAN_KNOWLEDGE__EMBEDDER`;
    a PostgreSQL server of your own needs the extension pgvector, 0.7 or newer: `pointsman doctor` says whether it has it.
    """

    kind = Kind.INVALID
    code = "embedder-missing"
    title = "There are no vectors to search"


class RerankerMissing(Problem):
    """The search asked for a model that orders what was found, and the operator has named none.

    Search without `rerank`, or have the operator set `POINTSMAN_KNOWLEDGE__RERANKER`.
    """

    kind = Kind.INVALID
    code = "reranker-missing"
    title = "There is no model that orders passages"


class IndexingInterrupted(Problem):
    """Each worker that took the file up died or failed before it was done, so it was given up.

    `POST …/reindex` tries again; the workers' logs have the reason under the entry's id.
    """

    kind = Kind.INTERNAL
    code = "indexing-interrupted"
    title = "The file could not be indexed"
