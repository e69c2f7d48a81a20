"""The GPUs of this machine, asked without torch: how many, which, and how much memory.

The CUDA driver itself is asked. It counts what torch will see: the user's
``CUDA_VISIBLE_DEVICES`` is applied, and the order is CUDA's own. NVML and ``nvidia-smi`` count the
machine's GPUs instead, in the order of their slots, and would be one more thing to install. Asking
makes no context, so it takes no GPU memory.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from evomerge_compiler.errors import UsageError
from evomerge_compiler.processes import run_command

VARIABLE = "CUDA_VISIBLE_DEVICES"
_LIBRARY = "libcuda.so.1"
_NAME_BYTES = 128


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one instance of a divided GPU (MIG).

    Attributes:
        model: What it is, such as ``NVIDIA A100-SXM4-40GB``.
        uuid: Identity without the prefix ``GPU-`` or ``MIG-``.
        total_bytes: Its memory.
    """

    model: str
    uuid: str
    total_bytes: int


def parse_device(text: str) -> tuple[str, int | None]:
    """What ``--device`` names: ``auto``, ``cpu`` or ``cuda``, and the GPU's number, if any.

    Raises:
        UsageError: It is none of these.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", text):
        raise UsageError(f"device {text!r} is none of auto, cpu, cuda and cuda:N")
    kind, _, number = text.partition(":")
    return kind, int(number) if number else None


@lru_cache(maxsize=1)
def visible() -> tuple[Gpu, ...]:
    """The GPUs that a process of this environment sees, in CUDA's order: ``cuda:0`` first."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return ()
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_gpu(driver, index) for index in range(count.value))


def _gpu(driver: Any, index: int) -> Gpu:
    device = ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), index)
    model = ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDeviceGetName(model, _NAME_BYTES, device)
    total = ctypes.c_size_t(0)
    driver.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    identity = ctypes.create_string_buffer(16)
    # The first version of this call gives the whole GPU's for an instance of a divided one.
    ask = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    ask(identity, device)
    return Gpu(model.value.decode(), str(uuid.UUID(bytes=identity.raw)), total.value)


def names() -> tuple[str, ...]:
    """What to write into ``CUDA_VISIBLE_DEVICES`` for each GPU that may be used."""
    return names_among(os.environ.get(VARIABLE), len(visible()))


def names_among(allowed: str | None, count: int) -> tuple[str, ...]:
    """What names each GPU, given what the user allows.

    Args:
        allowed: The user's ``CUDA_VISIBLE_DEVICES``: indices, or UUIDs of GPUs or of MIG
            instances, which may be cut short; None when it is not set.
        count: How many GPUs the driver then counts.

    Returns:
        The user's own names where there are some: a number of ours would mean another GPU.
    """
    if allowed is None or not count:
        return tuple(str(index) for index in range(count))
    given = [name.strip() for name in allowed.split(",")]
    instances = tuple(name for name in given if name.startswith("MIG-"))
    # A process sees one MIG instance, however many are named; each worker can have its own. Of
    # other names, the driver takes those before the first one that it does not know.
    return instances or tuple(given[:count])


def free_bytes() -> int:
    """Free memory of the GPU that has the least; 0 where there is none."""
    found = visible()
    free = _free_by_uuid() if found else {}
    # nvidia-smi may be missing, and does not list MIG instances.
    return min((free.get(gpu.uuid, gpu.total_bytes) for gpu in found), default=0)


def _free_by_uuid() -> dict[str, int]:
    if shutil.which("nvidia-smi") is None:
        return {}
    query = ["nvidia-smi", "--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits"]
    return parse_free(run_command(query).stdout_tail)


def parse_free(text: str) -> dict[str, int]:
    """UUID to free bytes, of ``nvidia-smi --query-gpu=uuid,memory.free`` without units."""
    rows = [line.split(", ") for line in text.splitlines()]
    return {
        row[0].strip().removeprefix("GPU-"): int(row[1]) * 2**20
        for row in rows
        if len(row) == 2 and row[1].strip().isdigit()
    }
