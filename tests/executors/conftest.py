from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from executor_kits import Kit, LocalKit, SimulatedKit


@pytest.fixture
def local_kit(tmp_path: Path, header_models: SimpleNamespace) -> LocalKit:
    return LocalKit(tmp_path, header_models.a)


@pytest.fixture(params=["simulated", "local"])
def any_kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    if request.param == "local":
        yield request.getfixturevalue("local_kit")
    else:
        yield SimulatedKit(tmp_path)
