"""One small sample for all tests of the engine; they only read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.evaluation.dataset import Dataset
from app.evaluation.luma import SampleSpec

NAMESPACE = "_wwfovlab011"
AS_OF = datetime(2025, 11, 24, tzinfo=UTC)
SPEC = SampleSpec(profiles=4_000, seed=11, as_of=AS_OF)


@pytest.fixture(scope="session")
async def dataset(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dataset]:
    path: Path = tmp_path_factory.mktemp("evaluation") / "luma.duckdb"
    dataset = await Dataset.create(path, NAMESPACE, SPEC)
    yield dataset
    await dataset.close()
