"""How mergekit is run: the part of a merge that does not change its result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from evomerge_compiler import gpus
from evomerge_compiler.processes import run_command

PROGRAM = "mergekit-yaml"


@dataclass(frozen=True)
class MergeOptions:
    """Flags of ``mergekit-yaml``, under mergekit's own names, and our limits.

    Attributes:
        cuda: Compute on the GPU; None asks whether there is one.
        allow_crimes: Let architectures be mixed.
        trust_remote_code: Let models bring code of their own.
        low_cpu_memory: Keep results on the GPU until a shard is written. Of no effect in memory,
            where nothing waits to be written.
        timeout_s: For a whole merge; None is no limit.
        offline: Never ask the hub.
    """

    cuda: bool | None = None
    allow_crimes: bool = False
    trust_remote_code: bool = False
    low_cpu_memory: bool = False
    timeout_s: float | None = None
    offline: bool = False


def mergekit_argv(
    config_path: str,
    out_path: str,
    random_seed: int,
    options: MergeOptions,
    *,
    has_gpu: Callable[[], bool] | None = None,
) -> list[str]:
    """The command that merges one stage.

    Args:
        config_path: The mergekit YAML.
        out_path: Folder that mergekit is to write.
        random_seed: For methods that draw random numbers.
        options: The flags.
        has_gpu: Answers ``cuda: None``; :func:`gpu_available` by default.

    Returns:
        Program and arguments. The tokenizer and the model card are ours to write: mergekit takes
        the first from a donor of its own choice and asks the hub for the second.
    """
    argv = [PROGRAM, config_path, out_path, "--random-seed", str(random_seed)]
    argv += ["--no-copy-tokenizer", "--no-write-model-card", "--quiet"]
    flags = {
        "--cuda": (has_gpu or gpu_available)() if options.cuda is None else options.cuda,
        "--allow-crimes": options.allow_crimes,
        "--trust-remote-code": options.trust_remote_code,
        "--low-cpu-memory": options.low_cpu_memory,
    }
    return argv + [flag for flag, given in flags.items() if given]


@lru_cache(maxsize=1)
def gpu_available() -> bool:
    """Whether torch can compute on a CUDA GPU here.

    The driver is asked first: where it knows no GPU, torch need not be asked. Torch answers in a
    process of its own, since it may know no CUDA at all, and takes seconds to import.
    """
    if not gpus.visible():
        return False
    program = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return run_command([sys.executable, "-c", program]).returncode == 0
