from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from executor_kits import Kit, LocalKit, RayKit, SimulatedKit, add_node


@pytest.fixture
def local_kit(tmp_path: Path, header_models: SimpleNamespace) -> LocalKit:
    return LocalKit(tmp_path, header_models.a)


@pytest.fixture(scope="session")
def nodes() -> Iterator[Any]:
    """A Ray cluster of two nodes that take a worker each; this process is connected to it."""
    # Read when ray is imported. The ports of its nodes are open to the network.
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, connect=True, head_node_args=head)
    for _ in range(2):
        add_node(cluster)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def ray_kit(tmp_path: Path, header_models: SimpleNamespace, nodes: Any) -> RayKit:
    return RayKit(tmp_path, header_models.a)


@pytest.fixture(params=["simulated", "local", "ray"])
def any_kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    if request.param == "simulated":
        yield SimulatedKit(tmp_path)
    else:
        yield request.getfixturevalue(f"{request.param}_kit")
