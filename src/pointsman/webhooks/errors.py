"""What can go wrong with webhooks."""

from __future__ import annotations

from pointsman.kit.problems import Kind, Problem


class WebhookNotFound(Problem):
    """No webhook endpoint has this id. A deleted one counts as absent, and those of other tenants look the same.

    `GET /v2/webhooks` lists them.
    """

    kind = Kind.NOT_FOUND
    code = "webhook-not-found"
    title = "There is no such webhook endpoint"


class WebhookDeliveryNotFound(Problem):
    """The endpoint has no delivery of this id: it never had, or it is out of date and gone.

    `GET /v2/webhooks/{id}/deliveries` lists them.
    """

    kind = Kind.NOT_FOUND
    code = "webhook-delivery-not-found"
    title = "There is no such delivery"


class WebhooksTooMany(Problem):
    """A tenant has as many webhook endpoints as it may have.

    Delete one that is not needed any more, or let one endpoint take several event types.
    """

    kind = Kind.CONFLICT
    code = "webhooks-too-many"
    title = "There are too many webhook endpoints"


class WebhookDisabled(Problem):
    """The endpoint is disabled, by somebody or because it answered 410 Gone, so that nothing is delivered to it.

    Enable it with `PATCH /v2/webhooks/{id}` and `{"enabled": true}`, then ask again.
    """

    kind = Kind.CONFLICT
    code = "webhook-disabled"
    title = "The webhook endpoint is disabled"


class NotifyUnusable(Problem):
    """`POINTSMAN_NOTIFY__URLS` cannot be used: Apprise is not installed, or it does not understand one of the URLs.

    Install `pointsman[notify]`. The detail says which URL it is by its place in the list, never what stands in it; Apprise's documentation
    has the form of each service's URL.
    """

    kind = Kind.INTERNAL
    code = "notify-unusable"
    title = "Nobody can be notified"
