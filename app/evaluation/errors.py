"""What can go wrong while a rule is evaluated, apart from a wrong rule. Part of the tree of `app.errors`."""

from __future__ import annotations

from app.errors import InternalError, PublicError


class EvaluationTimedOut(PublicError):
    """A query ran longer than it may; it was stopped."""

    code = "EVALUATION_TIMED_OUT"
    title = "The evaluation took too long"
    retryable = True


class EvaluationTooLarge(PublicError):
    """A query needed more memory than it may have; it was stopped."""

    code = "EVALUATION_TOO_LARGE"
    title = "The evaluation needs too much memory"


class DatasetUnreadable(InternalError):
    """A data file is missing, was written by another version, or is in use by another process."""
