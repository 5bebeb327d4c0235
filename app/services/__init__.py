"""What the gateway does, one file per resource; every entry point comes through here.

Lists of definitions and audiences are answered from the cache; what AEP computes passes through by the `relay`.
Writes go through the one `door`. `permissions` says which of Adobe's permissions each operation needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.services.audiences import AudienceService
from app.services.audit import AuditService
from app.services.audit_log import AuditLogService
from app.services.dry_run import DryRunService
from app.services.estimates import EstimateService
from app.services.export_jobs import ExportJobService
from app.services.external_audiences import ExternalAudienceService
from app.services.freshness import FreshnessService
from app.services.merge_policies import MergePolicyService
from app.services.profiles import ProfileService
from app.services.revisions import RevisionService
from app.services.rules import RuleService
from app.services.sandboxes import SandboxService
from app.services.schedules import ScheduleService
from app.services.schemas import SchemaService
from app.services.search import SearchService
from app.services.segment_definitions import SegmentDefinitionService
from app.services.segment_jobs import SegmentJobService
from app.services.viewer import ViewerService


@dataclass(frozen=True, slots=True)
class Services:
    """All services of one process, wired in `app.main`."""

    definitions: SegmentDefinitionService
    revisions: RevisionService
    audiences: AudienceService
    estimates: EstimateService
    dry_runs: DryRunService
    segment_jobs: SegmentJobService
    export_jobs: ExportJobService
    schedules: ScheduleService
    external_audiences: ExternalAudienceService
    merge_policies: MergePolicyService
    search: SearchService
    profiles: ProfileService
    schemas: SchemaService
    sandboxes: SandboxService
    audit_log: AuditLogService
    audit: AuditService
    rules: RuleService
    freshness: FreshnessService
    viewer: ViewerService
