"""Puts into words why work that merges, converts or writes did not end well."""

from __future__ import annotations

import re

from evomerge_compiler.errors import FULL_DISK_HINT, EvomergeError, MissingPrerequisite, WorkFailed
from evomerge_compiler.processes import CommandResult, has_lost_gpu

_MACHINE_WORDS = {
    "no space left on device": FULL_DISK_HINT,
    "disk quota exceeded": FULL_DISK_HINT,
    "torch not compiled with cuda": "install a CUDA build of torch, or leave --cuda out",
    "no cuda gpus are available": "leave --cuda out, or make the GPU visible",
    "no nvidia driver": "install the NVIDIA driver, or leave --cuda out",
    "modulenotfounderror": "a library is missing: install evomerge-compiler again",
}
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b")
_FOLDERS = re.compile(r"(?<![\w./])/(?:[^\s'\":,/]+/)+")
_MESSAGE_LIMIT = 500


def process_failure(result: CommandResult, what: str) -> EvomergeError:
    """The error for a process that failed.

    Args:
        result: How it ended, ``result.reason`` being set.
        what: Names the work: ``mergekit failed in stage s1``.

    Returns:
        MissingPrerequisite where the machine is at fault, else WorkFailed (step ``merge``). Its
        message holds neither times nor folders.
    """
    text = result.stderr_tail.lower()
    said = scrub(last_line(result.stderr_tail))
    for words, hint in _MACHINE_WORDS.items():
        if words in text:
            return MissingPrerequisite(f"{what}: {said}", hint=hint)
    reason = result.reason or "crashed"
    if reason == "timeout":
        said = "it ran past the time limit"
    elif result.returncode < 0:
        said = f"it was ended by signal {-result.returncode}"
    elif reason == "crashed" and not has_lost_gpu(text):
        # An exception of its own would be raised again: no reason for a second try.
        reason = "invalid"
    return WorkFailed(f"{what}: {said}", reason=reason, step="merge")


def last_line(text: str) -> str:
    """The line that says most: the last one that names an exception, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised or lines or ["it wrote no message"])[-1]


def scrub(text: str) -> str:
    """A message without folders: of an absolute path only the last part is kept."""
    return _FOLDERS.sub("", text)[:_MESSAGE_LIMIT]
