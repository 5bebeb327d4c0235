"""Settings, read once in `main` from the environment: one class per concern.

Every name starts with ``SEGMENT_GATEWAY_``, except ``DATABASE_URL``, which the whole world knows. Durations and
sizes carry their unit in the name. A name that starts with our prefix and is not known is refused, so that a typing
slip cannot silently leave a default in place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SEGMENT_GATEWAY_"


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)


class ServerSettings(_Settings):
    """Where the gateway listens and what it admits."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    state_dir: Path = Field(Path(".state"), description="Folder for the embedded database, keys and samples.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body that is read.")


class DatabaseSettings(_Settings):
    """Which PostgreSQL to use. Without an address an embedded server is started in the state folder."""

    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", PREFIX + "DATABASE_URL"),
        description="Address of a PostgreSQL 15 or newer, as the application role.",
    )
    migration_database_url: SecretStr | None = Field(
        None, description="The same database as its owner, for migrations; the default is DATABASE_URL."
    )
    database_listen_url: SecretStr | None = Field(
        None,
        description="Address to listen for changes at, when DATABASE_URL leads to a pooler in transaction mode, which "
        "does not pass them on.",
    )
    database_pool_size: int = Field(10, ge=1, description="Connections kept open by one process.")
    database_timeout_s: float = Field(10.0, gt=0, description="Longest time that one statement may run.")


class SecuritySettings(_Settings):
    """Keys and lifetimes."""

    master_key: SecretStr | None = Field(
        None,
        description="Key that seals tenant credentials: 32 bytes as base64; old ones follow it, after commas. Without "
        "it a file is made in the state folder, readable by its owner only.",
    )
    access_token_lifetime_s: int = Field(3600, ge=60, description="Life of a token issued to an integration.")


class SignInSettings(_Settings):
    """How people sign in by browser."""

    public_url: str | None = Field(
        None,
        description="Address by which browsers reach the gateway, such as https://gateway.example; the default is what "
        "the request says.",
    )
    session_idle_s: int = Field(3600, ge=300, description="Time without use after which a browser's session ends.")
    session_lifetime_s: int = Field(43_200, ge=300, description="Longest life of a browser's session.")

    @field_validator("public_url")
    @classmethod
    def _an_origin(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/?#@\s]+/?", value):
            raise ValueError("must be a scheme and a host, such as https://gateway.example, without a path")
        return value


class LimitSettings(_Settings):
    """How many requests are taken, by all processes together."""

    tenant_requests_per_minute: int = Field(
        60_000, ge=0, description="Requests of one organization in a minute; 0 for no limit."
    )
    credential_requests_per_minute: int = Field(
        30_000, ge=0, description="Requests of one person or integration in a minute; 0 for no limit."
    )


class AuditSettings(_Settings):
    """How the audit is made provable."""

    audit_signing_key: SecretStr | None = Field(
        None,
        description="Key that signs the audit's checkpoints (Ed25519): 32 bytes as base64. Without it a file is made "
        "in the state folder, readable by its owner only.",
    )
    audit_checkpoint_interval_s: float = Field(300.0, gt=0, description="Pause between two checkpoints of the audit.")


class UpstreamSettings(_Settings):
    """How AEP is called. The hosts belong to each tenant."""

    upstream_connect_timeout_s: float = Field(3.0, gt=0, description="Longest wait for a connection to AEP.")
    upstream_read_timeout_s: float = Field(30.0, gt=0, description="Longest wait for an answer of AEP.")
    upstream_concurrency: int = Field(
        16, ge=1, description="Most calls at once to one endpoint of AEP for one organization, from one process."
    )
    upstream_attempts: int = Field(4, ge=1, le=10, description="Tries of a call that is safe to repeat.")


class WriteSettings(_Settings):
    """How changes are carried out."""

    idempotency_lifetime_s: float = Field(
        86_400.0, gt=0, description="Time for which the answer of a change is kept under its idempotency key."
    )
    write_lease_s: float = Field(
        120.0, gt=0, description="Longest time that one change may take; after it the object is free for others."
    )
    write_wait_s: float = Field(5.0, ge=0, description="Longest wait for another change of the same object.")
    reconcile_interval_s: float = Field(
        5.0, gt=0, description="Pause between two looks for changes whose outcome is not known."
    )
    reconcile_settle_s: float = Field(
        60.0, ge=0, description="Time after which a change that does not show at AEP counts as not made."
    )


class SyncSettings(_Settings):
    """How the cache is kept fresh."""

    sync_interval_s: float = Field(30.0, gt=0, description="Pause between two reads of what changed in a sandbox.")
    sync_reconcile_interval_s: float = Field(
        600.0, gt=0, description="Age of the last complete read at which everything is read again."
    )
    sync_concurrency: int = Field(4, ge=1, description="Sandboxes that one process reads at once.")
    sync_retry_s: float = Field(2.0, gt=0, description="Pause after a sync that failed; doubles up to the interval.")
    stale_after_s: float = Field(120.0, gt=0, description="Age at which cached answers are called stale.")


class LogSettings(_Settings):
    """What the log says and how."""

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_json: bool | None = Field(None, description="JSON lines; the default is JSON unless on a terminal.")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()


GROUPS: tuple[type[_Settings], ...] = (
    ServerSettings,
    DatabaseSettings,
    SecuritySettings,
    SignInSettings,
    LimitSettings,
    AuditSettings,
    UpstreamSettings,
    WriteSettings,
    SyncSettings,
    LogSettings,
)


class Settings:
    """All settings of one process, one attribute per concern."""

    def __init__(
        self,
        *,
        server: ServerSettings | None = None,
        database: DatabaseSettings | None = None,
        security: SecuritySettings | None = None,
        sign_in: SignInSettings | None = None,
        limits: LimitSettings | None = None,
        audit: AuditSettings | None = None,
        upstream: UpstreamSettings | None = None,
        write: WriteSettings | None = None,
        sync: SyncSettings | None = None,
        log: LogSettings | None = None,
    ) -> None:
        self.server = server or ServerSettings()
        self.database = database or DatabaseSettings()
        self.security = security or SecuritySettings()
        self.sign_in = sign_in or SignInSettings()
        self.limits = limits or LimitSettings()
        self.audit = audit or AuditSettings()
        self.upstream = upstream or UpstreamSettings()
        self.write = write or WriteSettings()
        self.sync = sync or SyncSettings()
        self.log = log or LogSettings()


def environment_names() -> dict[str, str]:
    """Return every environment variable that is read, with its description."""
    names: dict[str, str] = {}
    for group in GROUPS:
        for name, field in group.model_fields.items():
            variable = "DATABASE_URL" if name == "database_url" else PREFIX + name.upper()
            names[variable] = field.description or ""
    return names


def unknown_names(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the variables that start with our prefix and mean nothing to us, sorted."""
    given = os.environ if environment is None else environment
    known = set(environment_names()) | {PREFIX + "DATABASE_URL"}
    return sorted(name for name in given if name.startswith(PREFIX) and name not in known)
