"""Executor ``ray``: the workers of executor ``warm`` on the nodes of a Ray cluster.

Each worker slot is an actor (:mod:`.ray_node`) that runs whole jobs on its node, one at a time.
Ray places the actors by the resources that they ask for and says when one is lost
(:mod:`.ray_pool`): its job is run again elsewhere. Moritz et al., "Ray: A Distributed Framework
for Emerging AI Applications", OSDI 2018.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evomerge_compiler import assets
from evomerge_compiler.errors import MissingPrerequisite, UsageError
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key
from evomerge_compiler.executors.base import Executor, Job, JobResult, Split
from evomerge_compiler.executors.local import LocalSettings, identity
from evomerge_compiler.executors.ray_node import NodeSetup, NodeSlot, installed_versions
from evomerge_compiler.executors.ray_pool import RayPool
from evomerge_compiler.merging.options import gpu_available
from evomerge_compiler.recipe_schema import RaySpec

if TYPE_CHECKING:
    from ray.actor import ActorHandle

# Clusters that grow on demand need minutes for a node.
NODE_WAIT_S = 900.0
CONNECT_S = 5.0
# Jobs and results are small; Ray would take a third of the memory.
_OBJECT_STORE_BYTES = 100_000_000
# One a process: Ray reads it once.
_TOKEN = secrets.token_hex(32)


class RayExecutor(Executor):
    """Merges and evaluates in actors; see :class:`.warm.WarmExecutor`.

    Args:
        evaluation: How models are scored. ``auto`` as its device is decided here, once: scores
            of CPUs and GPUs must not mix.
        settings: How the work is done; ``n_workers`` is the number of actors.
        spec: What an actor asks of its node.
        address: ``auto``, ``host:port`` or ``ray://host:port``. None takes the cluster that this
            process is connected to, else starts one on this machine and stops it at the end.
        wait_s: How long to wait for a node when none is to be had.

    Attributes:
        asks: Ray's name of a resource to what an actor asks for.

    Raises:
        UsageError: The device names a GPU; which one a worker gets is for Ray to say.
    """

    def __init__(
        self,
        evaluation: EvaluationPlan,
        settings: LocalSettings,
        spec: RaySpec | None = None,
        address: str | None = None,
        *,
        wait_s: float = NODE_WAIT_S,
    ) -> None:
        device = evaluation.device
        if device == "auto":
            device = "cuda" if gpu_available() else "cpu"
        if device not in ("cpu", "cuda"):
            raise UsageError(
                f"device {device!r} does not go with --executor ray, which chooses the GPUs",
                hint="use --device cuda, and num_gpus in the recipe's ray: section",
            )
        merge = settings.merge
        if merge.cuda is None:
            merge = replace(merge, cuda=device == "cuda")
        self.evaluation = replace(evaluation, device=device)
        # Every node fetches for itself what it does not have.
        self.settings = replace(settings, merge=merge, offline=False)
        spec = spec or RaySpec()
        num_gpus = spec.num_gpus
        if num_gpus is None:
            num_gpus = float(device == "cuda" or bool(merge.cuda))
        if 0 < num_gpus < 1:
            sharing = math.ceil(1 / num_gpus)
            self.evaluation = replace(self.evaluation, gpu_workers=sharing)
        self.asks = {"CPU": spec.num_cpus, "GPU": num_gpus, **spec.resources}
        self._address = address
        self._wait_s = wait_s
        self._pool: RayPool | None = None
        self._connected = False

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        if not jobs:
            return
        if self._pool is None:
            self._pool = self._start()
        futures = {self._pool.submit(job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            if not all(future.done() for future in futures):
                self.close()

    def eval_key(self, job: Job, split: Split) -> str:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        return eval_key(identity(job), self.evaluation, split)

    def close(self) -> None:
        """Ends all workers, and the cluster if it was started here."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._connected:
            import ray

            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
            self._connected = False

    # -----------------------------------------------------------------------------------------

    def _start(self) -> RayPool:
        self._connect()
        import ray

        setup = NodeSetup(
            run=uuid.uuid4().hex[:12],
            evaluation=self.evaluation,
            settings=self.settings,
            project=assets.project_folder(),
            versions=installed_versions(),
        )
        asked = dict(self.asks)
        # Two calls at a time: a job, and the one that stops it. Replacing actors is ours to do.
        slot = ray.remote(NodeSlot).options(
            num_cpus=asked.pop("CPU"),
            num_gpus=asked.pop("GPU"),
            resources=asked,
            max_concurrency=2,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )

        def start() -> ActorHandle:
            try:
                return slot.remote(setup)
            except ValueError as error:
                said = "".join(map(str, error.args))
                raise UsageError(f"Ray refuses what the recipe's ray: asks for: {said}") from error

        needs = ", ".join(f"{amount:g} {name}" for name, amount in self.asks.items() if amount)
        return RayPool(self.settings.n_workers, start, needs or "a place", wait_s=self._wait_s)

    def _connect(self) -> None:
        """Connects this process to a cluster, or starts one.

        Raises:
            MissingPrerequisite: Ray is not installed, or the cluster cannot be reached.
        """
        # Read when ray is imported, by its processes too.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            from ray.exceptions import RayError
        except ImportError as error:
            raise MissingPrerequisite(
                "executor ray needs the package 'ray', which is not installed",
                hint="pip install 'evomerge-compiler[ray]'",
            ) from error
        if self._address is not None:
            _check_reachable(self._address)
        if ray.is_initialized():
            if self._address is not None:
                raise UsageError(
                    "this process is connected to a Ray cluster already",
                    hint="leave the address out, or disconnect with ray.shutdown()",
                )
            return
        how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address is None:
            how |= self._own_cluster()
        try:
            with _own_signals(), _own_token() if self._address is None else nullcontext():
                ray.init(self._address or "local", **how)
        except (ConnectionError, ValueError, RuntimeError, ImportError, RayError) as error:
            what = (
                f"reach the cluster at {self._address!r}" if self._address else "start a cluster"
            )
            raise MissingPrerequisite(
                f"Ray cannot {what}: {error}",
                hint="`ray status` says what runs; the versions of Ray and Python must be those "
                "of the cluster, and a cluster with tokens needs RAY_AUTH_MODE=token",
            ) from error
        self._connected = True
        # Ray prints the cluster's errors, whoever's they are, to stdout, which is for data.
        ray._private.worker._worker_logs_enabled = False

    def _own_cluster(self) -> dict[str, Any]:
        """A cluster of this machine alone: its workers get what they ask for, but for GPUs."""
        all_ask = {name: self.settings.n_workers * amount for name, amount in self.asks.items()}
        del all_ask["GPU"]  # Ray counts those that there are
        return {
            "num_cpus": math.ceil(all_ask.pop("CPU")),
            "resources": all_ask,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }


def _check_reachable(address: str) -> None:
    """Ray itself would try an address for two minutes, and then end the process.

    Raises:
        MissingPrerequisite: Nothing listens there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto", or something that Ray knows better
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise MissingPrerequisite(
            f"nothing answers at the Ray address {address!r}: {error}",
            hint="`ray status` on the head node prints the address; --ray-address auto finds it",
        ) from error


@contextmanager
def _own_token() -> Iterator[None]:
    """A token for a cluster of our own; without it, nobody can use the ports that Ray opens.

    Ray would make one in the home folder, which changes what ``ray start`` does from then on.
    """
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    if not any(before.values()):
        os.environ["RAY_AUTH_TOKEN"] = _TOKEN
    try:
        yield
    finally:
        for name in [name for name, value in before.items() if value is None]:
            os.environ.pop(name, None)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps this process's SIGTERM handler: Ray puts one of its own in its place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
