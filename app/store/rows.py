"""What is stored: one class per table.

Every table but those in ``TABLES_WITHOUT_TENANT`` has a ``tenant_id`` and a forced row-level security policy on it.
Objects of AEP are kept twice: the columns that we search and sort by, and ``document``, exactly as AEP sent it, so
that members which the vendor adds tomorrow survive.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TABLES_WITHOUT_TENANT: dict[str, str] = {
    "tenants": "the list of tenants itself; a policy shows a session only its own row or the one it names exactly",
    "signing_keys": "keys of the gateway as a whole, sealed; they sign for every tenant",
    "alembic_version": "written by migrations only",
}

Document = dict[str, Any]


class Base(DeclarativeBase):
    """Root of the rows; times are aware, identifiers are UUIDs."""

    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy at class creation
        datetime: DateTime(timezone=True),
        UUID: PGUUID(as_uuid=True),
        Document: JSONB(none_as_null=True),
        list[str]: ARRAY(Text),
        str: Text,
        bytes: LargeBinary,
    }


class TenantRow(Base):
    """One Adobe organization that is served."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    ims_org_id: Mapped[str] = mapped_column(unique=True)
    namespace: Mapped[str]
    platform_url: Mapped[str]
    ims_url: Mapped[str]
    allowed_origins: Mapped[list[str]] = mapped_column(default=list, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TenantCredentialRow(Base):
    """A technical account's credential at Adobe I/O; the secret is sealed."""

    __tablename__ = "tenant_credentials"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID] = mapped_column(index=True)
    client_id: Mapped[str]
    sealed_secret: Mapped[bytes]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    retired_at: Mapped[datetime | None]


class UpstreamTokenRow(Base):
    """A technical account's access token, sealed, and the lease of the process that fetches the next one."""

    __tablename__ = "upstream_tokens"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    credential_id: Mapped[UUID] = mapped_column(primary_key=True)
    scopes: Mapped[str] = mapped_column(primary_key=True)
    sealed_token: Mapped[bytes | None]
    generation: Mapped[UUID | None]
    renew_at: Mapped[datetime | None]
    usable_until: Mapped[datetime | None]
    lease_id: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]


class UpstreamCircuitRow(Base):
    """What processes know of an endpoint of AEP that did not answer well; see `app.upstream.circuits`."""

    __tablename__ = "upstream_circuits"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    opens: Mapped[int]
    paused_until: Mapped[datetime]
    calls_at_once: Mapped[float | None]


class SandboxRow(Base):
    """A sandbox of a tenant, as AEP names it."""

    __tablename__ = "sandboxes"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    aep_id: Mapped[str]
    name: Mapped[str]
    title: Mapped[str]
    type: Mapped[str]
    is_default: Mapped[bool]


class ProductProfileRow(Base):
    """A named bundle of permissions on named sandboxes; ``*`` stands for every sandbox."""

    __tablename__ = "product_profiles"
    __table_args__ = (UniqueConstraint("tenant_id", "name"), UniqueConstraint("tenant_id", "id"))

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    name: Mapped[str]
    permissions: Mapped[list[str]]
    sandboxes: Mapped[list[str]]


class IdentityProviderRow(Base):
    """An OpenID provider whose word on people a tenant takes; it may be trusted by several tenants."""

    __tablename__ = "identity_providers"
    __table_args__ = (
        UniqueConstraint("tenant_id", "issuer"),
        UniqueConstraint("tenant_id", "id"),
        Index("ix_identity_providers_issuer", "issuer"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    issuer: Mapped[str]
    label: Mapped[str]
    client_id: Mapped[str | None]
    sealed_client_secret: Mapped[bytes | None]
    audiences: Mapped[list[str]]
    groups_claim: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]


class GroupGrantRow(Base):
    """A part in a product profile for everybody whom a provider puts into a group."""

    __tablename__ = "group_grants"
    __table_args__ = (
        UniqueConstraint("tenant_id", "identity_provider_id", "group_name", "product_profile_id"),
        ForeignKeyConstraint(
            ["tenant_id", "identity_provider_id"],
            ["identity_providers.tenant_id", "identity_providers.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "product_profile_id"],
            ["product_profiles.tenant_id", "product_profiles.id"],
            ondelete="CASCADE",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    identity_provider_id: Mapped[UUID]
    group_name: Mapped[str]
    product_profile_id: Mapped[UUID]
    role: Mapped[str]


class PersonRow(Base):
    """A person of a tenant, known by e-mail address, and by an issuer's subject once he has signed in.

    ``groups`` are those that the issuer named last, in a token issued at ``groups_at``.
    """

    __tablename__ = "people"
    __table_args__ = (
        UniqueConstraint("tenant_id", "email"),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "issuer", "subject", name="uq_people_subject"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    email: Mapped[str]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    groups: Mapped[list[str]] = mapped_column(default=list, server_default="{}")
    groups_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]


class IntegrationRow(Base):
    """A program of a tenant, with a client id and secret that this gateway issued; only a hash is kept."""

    __tablename__ = "integrations"
    __table_args__ = (UniqueConstraint("tenant_id", "name"), UniqueConstraint("tenant_id", "id"))

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    name: Mapped[str]
    client_id: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[bytes]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]


class MembershipRow(Base):
    """A person's or an integration's part in a product profile."""

    __tablename__ = "memberships"
    __table_args__ = (
        UniqueConstraint("tenant_id", "product_profile_id", "actor_id"),
        ForeignKeyConstraint(
            ["tenant_id", "product_profile_id"], ["product_profiles.tenant_id", "product_profiles.id"]
        ),
        Index("ix_memberships_actor", "tenant_id", "actor_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    product_profile_id: Mapped[UUID]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID]
    role: Mapped[str]


class AccessKeyRow(Base):
    """A person's key; shown once, kept as a hash."""

    __tablename__ = "access_keys"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "person_id"], ["people.tenant_id", "people.id"]),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    person_id: Mapped[UUID]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    label: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class SessionRow(Base):
    """A browser in which a person signed in; what it holds is kept as a hash."""

    __tablename__ = "sessions"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "person_id"], ["people.tenant_id", "people.id"], ondelete="CASCADE"),
        Index("ix_sessions_tenant_id", "tenant_id", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    person_id: Mapped[UUID]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class RequestBudgetRow(Base):
    """How many requests of a tenant or of one of its credentials were given to processes in a window."""

    __tablename__ = "request_budgets"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[UUID] = mapped_column(primary_key=True)
    window_start: Mapped[datetime]
    leased: Mapped[int] = mapped_column(BigInteger)


class SigningKeyRow(Base):
    """A key that signs the tokens of integrations: the private part sealed, the public part readable."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    sealed_private_key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RevokedTokenRow(Base):
    """A token of an integration that was withdrawn; kept until it would have ended by itself."""

    __tablename__ = "revoked_tokens"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    token_id: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class SegmentDefinitionRow(Base):
    """A segment definition in the cache. ``created_by`` and ``updated_by`` name our actor where we know him."""

    __tablename__ = "segment_definitions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "sandbox_id", "aep_id"),
        Index("ix_segment_definitions_updated", "tenant_id", "sandbox_id", text("updated_at DESC"), text("id DESC")),
        Index("ix_segment_definitions_name", "tenant_id", "sandbox_id", text('name_lower COLLATE "C"'), "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    sandbox_id: Mapped[UUID]
    aep_id: Mapped[str]
    name: Mapped[str]
    name_lower: Mapped[str]
    description: Mapped[str | None]
    document: Mapped[Document]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(default=1)
    synced_at: Mapped[datetime]
    created_by: Mapped[Document | None]
    updated_by: Mapped[Document | None]


class SegmentDefinitionRevisionRow(Base):
    """One version of a segment definition, with the actor who made it; kept when the definition is deleted.

    ``at`` is when it began to be so, as far as is known, and ``seen_at`` when the gateway learned of it. ``source`` is
    ``gateway``, ``restore`` or ``upstream``. A deletion is a version too: ``deleted``, with the document as it last
    was. ``rule_hash`` is equal for rules that are only spelled differently, ``None`` for one that cannot be read.
    ``drift`` is ``pending`` for what was seen upstream until the audit has ``recorded`` it, otherwise ``None``.
    """

    __tablename__ = "segment_definition_revisions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "sandbox_id", "aep_id", "version"),
        Index(
            "ix_segment_definition_revisions_drift",
            "tenant_id",
            "sandbox_id",
            postgresql_where=text("drift = 'pending'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    sandbox_id: Mapped[UUID]
    aep_id: Mapped[str]
    version: Mapped[int]
    document: Mapped[Document]
    author: Mapped[Document | None]
    at: Mapped[datetime]
    seen_at: Mapped[datetime]
    source: Mapped[str]
    rule_hash: Mapped[str | None]
    deleted: Mapped[bool] = mapped_column(default=False)
    restored_from: Mapped[int | None]
    drift: Mapped[str | None]


class AudienceRow(Base):
    """An audience in the cache."""

    __tablename__ = "audiences"
    __table_args__ = (
        UniqueConstraint("tenant_id", "sandbox_id", "aep_id"),
        Index("ix_audiences_name", "tenant_id", "sandbox_id", text('name_lower COLLATE "C"'), "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    sandbox_id: Mapped[UUID]
    aep_id: Mapped[str]
    audience_id: Mapped[str]
    name: Mapped[str]
    name_lower: Mapped[str]
    namespace: Mapped[str]
    type: Mapped[str]
    origin_name: Mapped[str]
    lifecycle_state: Mapped[str]
    document: Mapped[Document]
    updated_at: Mapped[datetime]
    synced_at: Mapped[datetime]


class TenantSchemaRow(Base):
    """The XDM union schemas of a sandbox, as AEP's Schema Registry served them."""

    __tablename__ = "tenant_schemas"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    sandbox_id: Mapped[UUID] = mapped_column(primary_key=True)
    unions: Mapped[Document]
    synced_at: Mapped[datetime]


class CachedObjectRow(Base):
    """A segment job or schedule as AEP last sent it, for answers while AEP is away; ``kind`` is a `Cached`."""

    __tablename__ = "cached_objects"
    __table_args__ = (
        Index("ix_cached_objects_created", "tenant_id", "sandbox_id", "kind", text("created_at DESC"), "aep_id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    sandbox_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    aep_id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[Document]
    status: Mapped[str]
    created_at: Mapped[datetime]
    synced_at: Mapped[datetime]


class SyncStateRow(Base):
    """How the last reads of one resource of one sandbox went, and how far the present one is.

    ``succeeded_at`` is the start of the last read that succeeded, ``reconciled_at`` that of the last complete one.
    ``cursor_ms`` is AEP's time of the newest change that is in the cache, ``objects`` how many there were in the last
    complete read and ``listed_total`` how many AEP said there were. ``started_at``, ``mode``, ``objects_read`` and
    ``objects_total`` are about the present read; ``started_at`` is ``None`` between two.
    """

    __tablename__ = "sync_states"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    sandbox_id: Mapped[UUID] = mapped_column(primary_key=True)
    resource: Mapped[str] = mapped_column(primary_key=True)
    succeeded_at: Mapped[datetime | None]
    reconciled_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    failure: Mapped[str | None]
    objects: Mapped[int] = mapped_column(default=0)
    listed_total: Mapped[int | None]
    cursor_ms: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[datetime | None]
    mode: Mapped[str | None]
    objects_read: Mapped[int] = mapped_column(default=0)
    objects_total: Mapped[int | None]


class IdempotencyKeyRow(Base):
    """A key that an actor gave to a change, so that he can repeat it safely.

    ``state`` is ``open`` while the change is under way, ``unknown`` when AEP did not answer, and ``done`` when it
    succeeded; then ``answer`` is what it was answered with, as JSON text in its own order.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("ix_idempotency_keys_operation", "tenant_id", "operation_id"),
        Index("ix_idempotency_keys_expiry", "tenant_id", "expires_at"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    sandbox_id: Mapped[UUID] = mapped_column(primary_key=True)
    actor_id: Mapped[UUID] = mapped_column(primary_key=True)
    operation: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    operation_id: Mapped[UUID]
    state: Mapped[str]
    answer: Mapped[str | None]
    expires_at: Mapped[datetime]


class ObjectLeaseRow(Base):
    """The right of one operation to change an object at AEP; it ends by itself."""

    __tablename__ = "object_leases"
    __table_args__ = (Index("ix_object_leases_operation", "tenant_id", "operation_id"),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    sandbox_id: Mapped[UUID] = mapped_column(primary_key=True)
    object_id: Mapped[str] = mapped_column(primary_key=True)
    operation_id: Mapped[UUID]
    leased_until: Mapped[datetime]


class OpenOperationRow(Base):
    """A change that was begun and whose outcome is not in the audit yet.

    ``call`` is the operation at AEP, ``sent`` its body and ``before`` what the cache had of the object (with its
    ``document``), both as JSON text. From
    ``quiet_since`` on nothing more is sent for it. ``next_look_at`` says when AEP is to be read for its outcome;
    ``None`` when that is in vain.
    """

    __tablename__ = "open_operations"
    __table_args__ = (
        Index("ix_open_operations_due", "tenant_id", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    operation_id: Mapped[UUID] = mapped_column(primary_key=True)
    sandbox_id: Mapped[UUID]
    sandbox_name: Mapped[str]
    call: Mapped[str]
    action: Mapped[str]
    actor: Mapped[Document]
    entrance: Mapped[str]
    request_id: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str | None]
    resource_name: Mapped[str | None]
    sent: Mapped[str]
    before: Mapped[str | None]
    state: Mapped[str]
    started_at: Mapped[datetime]
    quiet_since: Mapped[datetime]
    looks: Mapped[int]
    next_look_at: Mapped[datetime | None]


class AuditCheckpointRow(Base):
    """A signed statement about the first ``size`` events of a tenant's audit chain; append-only like the chain.

    ``note`` is what was signed, with the signature. ``frontier`` holds the complete subtrees, to go on from.
    """

    __tablename__ = "audit_checkpoints"
    __table_args__ = (UniqueConstraint("tenant_id", "size"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    size: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[str]
    at: Mapped[datetime]
    note: Mapped[str]
    public_key: Mapped[str]
    frontier: Mapped[list[str]]


class AuditEventRow(Base):
    """One link of a tenant's audit chain; never changed and never deleted (the database refuses both).

    An operation that goes upstream has an ``intent`` event, written before the call, and one that tells the outcome;
    both carry the same ``operation_id``.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "sequence"),
        Index("ix_audit_events_operation", "tenant_id", "operation_id"),
        Index("ix_audit_events_resource", "tenant_id", "resource_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID]
    sequence: Mapped[int] = mapped_column(BigInteger)
    operation_id: Mapped[UUID]
    at: Mapped[datetime]
    phase: Mapped[str]
    action: Mapped[str]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str]
    entrance: Mapped[str]
    sandbox_name: Mapped[str | None]
    resource_type: Mapped[str]
    resource_id: Mapped[str | None]
    resource_name: Mapped[str | None]
    request_id: Mapped[str]
    upstream_request_id: Mapped[str | None]
    detail: Mapped[Document]
    previous_hash: Mapped[str]
    hash: Mapped[str]
