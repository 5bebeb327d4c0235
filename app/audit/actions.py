"""Every action and phase that the audit knows."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What was done, as ``resource:subject:verb``."""

    SEGMENT_DEFINITION_CREATE = "sandbox:segment_definition:create"
    SEGMENT_DEFINITION_UPDATE = "sandbox:segment_definition:update"
    SEGMENT_DEFINITION_DELETE = "sandbox:segment_definition:delete"
    PREVIEW_CREATE = "sandbox:preview:create"
    PREVIEW_DELETE = "sandbox:preview:delete"
    SEGMENT_JOB_CREATE = "sandbox:segment_job:create"
    SEGMENT_JOB_CANCEL = "sandbox:segment_job:cancel"
    TENANT_CREATE = "tenant:tenant:create"
    TENANT_MOVE = "tenant:tenant:move"
    CREDENTIAL_SET = "tenant:credential:set"
    PRODUCT_PROFILE_CREATE = "tenant:product_profile:create"
    PERSON_ADD = "tenant:person:add"
    ACCESS_KEY_ISSUE = "tenant:access_key:issue"
    INTEGRATION_ISSUE = "tenant:integration:issue"


class Phase(StrEnum):
    """Where an operation stands when an event is written.

    ``INTENT`` comes before the call to AEP and is followed by ``SUCCEEDED``, ``FAILED`` or ``UNKNOWN`` (no answer
    came, so it may have happened). ``DENIED`` stands alone: nothing was sent. ``RECORDED`` stands alone too: the
    change was the gateway's own and happened in the same transaction.
    """

    INTENT = "intent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DENIED = "denied"
    RECORDED = "recorded"
