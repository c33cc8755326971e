"""Telling on-call of alerts: messages, receivers, routes, and an outbox that neither loses a message nor its order."""

from evalsvc.notify.building import build_notifiers, page_address
from evalsvc.notify.counts import ReceiverCounts
from evalsvc.notify.delivery import Delivery
from evalsvc.notify.message import Message, ShownExample, message_of
from evalsvc.notify.notifier import Notifier, Refreshing
from evalsvc.notify.reach import Labels, labels_of_rules
from evalsvc.notify.reading import read_routes
from evalsvc.notify.routing import matches, receivers_of
from evalsvc.notify.trial import trial
from evalsvc.notify.values import (
    NOBODY,
    AlertmanagerConfig,
    EmailConfig,
    PagerDutyConfig,
    Receiver,
    Route,
    Routes,
    SlackConfig,
    WebhookConfig,
)
from evalsvc.notify.webhook import sign, verify

__all__ = [
    "NOBODY",
    "AlertmanagerConfig",
    "Delivery",
    "EmailConfig",
    "Labels",
    "Message",
    "Notifier",
    "PagerDutyConfig",
    "Receiver",
    "ReceiverCounts",
    "Refreshing",
    "Route",
    "Routes",
    "ShownExample",
    "SlackConfig",
    "WebhookConfig",
    "build_notifiers",
    "labels_of_rules",
    "matches",
    "message_of",
    "page_address",
    "read_routes",
    "receivers_of",
    "sign",
    "trial",
    "verify",
]
