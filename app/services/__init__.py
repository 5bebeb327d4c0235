"""What the gateway does, one file per resource; every entry point comes through here.

Reads are answered from the cache. Writes go through the one `door`. `permissions` says which of Adobe's permissions
each operation needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.services.audiences import AudienceService
from app.services.audit import AuditService
from app.services.estimates import EstimateService
from app.services.rules import RuleService
from app.services.segment_definitions import SegmentDefinitionService
from app.services.segment_jobs import SegmentJobService
from app.services.viewer import ViewerService


@dataclass(frozen=True, slots=True)
class Services:
    """All services of one process, wired in `app.main`."""

    definitions: SegmentDefinitionService
    audiences: AudienceService
    estimates: EstimateService
    segment_jobs: SegmentJobService
    audit: AuditService
    rules: RuleService
    viewer: ViewerService
