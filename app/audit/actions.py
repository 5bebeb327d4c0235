"""Every action and phase that the audit knows."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What was done, as ``resource:subject:verb``."""

    SEGMENT_DEFINITION_CREATE = "sandbox:segment_definition:create"
    SEGMENT_DEFINITION_UPDATE = "sandbox:segment_definition:update"
    SEGMENT_DEFINITION_RESTORE = "sandbox:segment_definition:restore"
    SEGMENT_DEFINITION_DELETE = "sandbox:segment_definition:delete"
    AUDIENCE_CREATE = "sandbox:audience:create"
    AUDIENCE_UPDATE = "sandbox:audience:update"
    AUDIENCE_REPLACE = "sandbox:audience:replace"
    AUDIENCE_DELETE = "sandbox:audience:delete"
    AUDIENCE_METRICS_UPDATE = "sandbox:audience_metrics:update"
    EXTERNAL_AUDIENCE_CREATE = "sandbox:external_audience:create"
    EXTERNAL_AUDIENCE_UPDATE = "sandbox:external_audience:update"
    EXTERNAL_AUDIENCE_DELETE = "sandbox:external_audience:delete"
    EXTERNAL_AUDIENCE_RUN_CREATE = "sandbox:external_audience_run:create"
    PREVIEW_CREATE = "sandbox:preview:create"
    PREVIEW_DELETE = "sandbox:preview:delete"
    SEGMENT_JOB_CREATE = "sandbox:segment_job:create"
    SEGMENT_JOB_CANCEL = "sandbox:segment_job:cancel"
    EXPORT_JOB_CREATE = "sandbox:export_job:create"
    EXPORT_JOB_CANCEL = "sandbox:export_job:cancel"
    SCHEDULE_CREATE = "sandbox:schedule:create"
    SCHEDULE_UPDATE = "sandbox:schedule:update"
    SCHEDULE_DELETE = "sandbox:schedule:delete"
    SCHEDULE_ADD_AUDIENCES = "sandbox:schedule:add_audiences"
    SCHEDULE_REMOVE_AUDIENCES = "sandbox:schedule:remove_audiences"
    SCHEDULE_TRIGGER = "sandbox:schedule:trigger"
    MERGE_POLICY_CREATE = "sandbox:merge_policy:create"
    MERGE_POLICY_UPDATE = "sandbox:merge_policy:update"
    MERGE_POLICY_REPLACE = "sandbox:merge_policy:replace"
    MERGE_POLICY_DELETE = "sandbox:merge_policy:delete"
    SANDBOX_CREATE = "tenant:sandbox:create"
    SANDBOX_UPDATE = "tenant:sandbox:update"
    SANDBOX_RESET = "tenant:sandbox:reset"
    SANDBOX_DELETE = "tenant:sandbox:delete"
    TENANT_CREATE = "tenant:tenant:create"
    TENANT_ALLOW_ORIGINS = "tenant:tenant:allow_origins"
    TENANT_MOVE = "tenant:tenant:move"
    CREDENTIAL_SET = "tenant:credential:set"
    CREDENTIAL_ROTATE = "tenant:credential:rotate"
    SECRETS_RESEAL = "tenant:secrets:reseal"
    CREDENTIAL_RETIRE = "tenant:credential:retire"
    PRODUCT_PROFILE_CREATE = "tenant:product_profile:create"
    PERSON_ADD = "tenant:person:add"
    PERSON_CLAIM = "tenant:person:claim"
    PERSON_RENAME = "tenant:person:rename"
    SESSION_OPEN = "tenant:session:open"
    SESSION_CLOSE = "tenant:session:close"
    ACCESS_KEY_REVOKE = "tenant:access_key:revoke"
    IDENTITY_PROVIDER_TRUST = "tenant:identity_provider:trust"
    IDENTITY_PROVIDER_WITHDRAW = "tenant:identity_provider:withdraw"
    ACCESS_KEY_ISSUE = "tenant:access_key:issue"
    AUDIT_EXPORT = "tenant:audit:export"
    INTEGRATION_ISSUE = "tenant:integration:issue"


class Phase(StrEnum):
    """Where an operation stands when an event is written.

    ``INTENT`` comes before the call to AEP and is followed by ``SUCCEEDED``, ``FAILED`` or ``UNKNOWN`` (no answer
    came, so it may have happened). ``DENIED`` stands alone: nothing was sent. ``RECORDED`` stands alone too: the
    change was the gateway's own and happened in the same transaction. So does ``OBSERVED``: it was done behind the
    gateway, in Adobe's own pages for example, and the sync has seen it.
    """

    INTENT = "intent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DENIED = "denied"
    RECORDED = "recorded"
    OBSERVED = "observed"
