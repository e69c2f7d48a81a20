"""What a search needs of a machine, and whether it fits: disk, memory, GPU memory.

All from headers, stated facts and the recipe: no weight is read. Bytes are those of what has to
be there at once. Mapped files do not count: the system takes their pages back when it must.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evomerge_compiler import gpus
from evomerge_compiler.compiler.merge_plan import MergePlan
from evomerge_compiler.compiler.model_headers import SourceModel
from evomerge_compiler.evaluation import generation
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.evaluation.task_index import local_tasks
from evomerge_compiler.executors.local import LocalSettings
from evomerge_compiler.executors.placement import Placement
from evomerge_compiler.merging.in_memory import KEPT_LIMIT_BYTES, KEPT_SHARE
from evomerge_compiler.merging.kernels import fast

Resource = Literal["disk", "RAM", "GPU memory"]
RESOURCES: tuple[Resource, ...] = ("disk", "RAM", "GPU memory")
DTYPE_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}

# Measured: a worker that has imported torch, transformers, mergekit and lm-eval, and mergekit's
# command; the text files of a candidate in a run folder.
LIBRARIES_BYTES = 450_000_000
CUDA_CONTEXT_BYTES = 500_000_000
CANDIDATE_BYTES = 30_000
# Measured on an embedding in bfloat16: private memory at work, in sizes of the merged tensor, of
# our kernels and of mergekit's own methods. What is not listed is taken to be as the largest.
KERNEL_SIZES = {"linear": 0.1, "slerp": 0.1, "passthrough": 0.1, "dare_ties": 1.1, "ties": 2.5}
MERGEKIT_SIZES = {"linear": 4.0, "slerp": 6.7, "passthrough": 1.0, "dare_ties": 8.0}
LARGEST_KERNEL_SIZE, LARGEST_MERGEKIT_SIZE = 2.5, 15.0
# Tokens of a prompt, and items of a task whose data are not here.
PROMPT_TOKENS = 512
ITEMS = 250


@dataclass(frozen=True)
class How:
    """How the search will be run.

    Attributes:
        executor: ``warm``, ``cli`` or ``ray``.
        workers: Candidates at a time.
        device: Where models are scored: ``cpu`` or ``cuda``.
        merge_device: Where they are merged.
        n_gpus: GPUs that workers are spread over, where they use any.
        n_cores: Cores that workers share, one thread each; None where they are elsewhere.
    """

    executor: str = "warm"
    workers: int = 1
    device: str = "cpu"
    merge_device: str = "cpu"
    n_gpus: int = 1
    n_cores: int | None = None

    @property
    def placement(self) -> Placement:
        """Where workers compute."""
        uses_gpu = "cuda" in (self.device, self.merge_device)
        names = tuple(map(str, range(self.n_gpus))) if uses_gpu else ()
        return Placement(self.device, self.merge_device, names)

    @property
    def on_disk(self) -> bool:
        """Whether merges are made by the command, stage by stage on the disk."""
        return self.executor == "cli"

    def ahead(self, evaluation: EvaluationPlan) -> int:
        """Models on disk for each worker: none, the one that it scores, and one that waits."""
        if self.placement.overlaps:
            return 2
        # vLLM and programs read a model from its folder.
        by_folder = evaluation.backend == "vllm" or any(t.external for t in evaluation.tasks)
        return int(self.on_disk or by_folder)


@dataclass(frozen=True)
class Need:
    """Something that takes room.

    Attributes:
        resource: Where.
        what: What it is.
        n_bytes: How much, for all workers together; of GPU memory, for those of one GPU.
    """

    resource: Resource
    what: str
    n_bytes: int


@dataclass(frozen=True)
class Machine:
    """Room that is free.

    Attributes:
        free: Resource to bytes; a machine without a GPU has none of its memory. With several
            GPUs, the memory is that of one.
    """

    free: Mapping[Resource, int] = field(default_factory=dict)

    def fits(self, needs: Sequence[Need], resource: Resource) -> bool:
        """Whether there is room for all that needs a resource."""
        return total(needs, resource) <= self.free.get(resource, 0)


def this_machine(folder: Path) -> Machine:
    """What is free here.

    Args:
        folder: Where the run will be; it need not exist.
    """
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free: dict[Resource, int] = {"disk": shutil.disk_usage(there).free, "RAM": _free_memory()}
    return Machine(free | {"GPU memory": gpus.free_bytes()})


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def remedies(found: Sequence[Need], machine: Machine, how: How) -> list[str]:
    """What to change where something does not fit."""
    tight = [name for name in RESOURCES if not machine.fits(found, name) and total(found, name)]
    out = []
    if "disk" in tight:
        more = "" if not how.on_disk else ", or --executor warm, which writes no models"
        out.append(f"disk: put the run and the hub's cache (HF_HOME) on another disk{more}")
    if "RAM" in tight:
        more = "fewer workers (-j)" if how.workers > 1 else "a GPU, or smaller models"
        out.append(f"RAM: {more}")
    if "GPU memory" in tight:
        batch = "a smaller evaluation.batch_size or evaluation.gen_kwargs.max_gen_toks"
        remedy = "--no-cuda merges on the CPU" if how.merge_device == "cuda" else batch
        if how.placement.sharing(how.workers) > 1:
            remedy = f"-j {how.n_gpus} gives each worker a GPU of its own"
        out.append(f"GPU memory: {remedy}")
    return out


def total(needs: Sequence[Need], resource: Resource) -> int:
    """Bytes of all that needs a resource."""
    return sum(need.n_bytes for need in needs if need.resource == resource)


def needs(
    plans: Sequence[MergePlan], evaluation: EvaluationPlan, how: How, machine: Machine,
    n_candidates: int,
) -> list[Need]:  # fmt: skip
    """What a search needs.

    Args:
        plans: The merges of a generation.
        evaluation: How they are scored.
        how: How they are run.
        machine: Where; more stages are kept where more memory is free.
        n_candidates: Candidates still to come.
    """
    found = [Need("disk", "text files of the candidates", n_candidates * CANDIDATE_BYTES)]
    found += _sources(plans)
    if plans:
        largest = max(plans, key=result_bytes)
        found += _on_disk(plans, largest, evaluation, how)
        found += _memory(plans, largest, evaluation, how)
        found += [] if how.on_disk else _kept(plans, how, machine)
        if "cuda" in (how.device, how.merge_device):
            found += _gpu(plans, largest, evaluation, how)
    return [need for need in found if need.n_bytes]


def _sources(plans: Sequence[MergePlan]) -> Iterator[Need]:
    models = {model.identity: model for plan in plans for model in plan.models.values()}
    missing = [model for model in models.values() if model.tensors is None]
    fetched = sum(model_bytes(model) for model in missing)
    yield Need("disk", f"source models to fetch or convert ({len(missing)})", fetched)


def _on_disk(
    plans: Sequence[MergePlan], largest: MergePlan, evaluation: EvaluationPlan, how: How
) -> Iterator[Need]:
    if how.on_disk:
        held = min(LocalSettings.stage_limit_bytes, sum(_stage_bytes(plans)))
        yield Need("disk", "stages kept for other candidates", held)
    ahead = how.ahead(evaluation)
    what = "the model of each worker" if ahead == 1 else "models, scored and next in turn"
    yield Need("disk", what, ahead * how.workers * result_bytes(largest))


def _memory(
    plans: Sequence[MergePlan], largest: MergePlan, evaluation: EvaluationPlan, how: How
) -> Iterator[Need]:
    workers = how.workers
    processes = workers * (2 if how.placement.overlaps else 1)
    yield Need("RAM", "Python and its libraries", processes * LIBRARIES_BYTES)
    resident = workers * n_elements(largest) * scored_itemsize(largest, evaluation, how)
    moved = how.device == "cuda"  # the first model of a worker is made in memory
    what = "a first model, on its way to the GPU" if moved else "the model that is scored"
    yield Need("RAM", what, resident)
    if how.on_disk:
        yield Need("RAM", "mergekit's own process", workers * LIBRARIES_BYTES)
        yield Need("RAM", "its result, until it is written", workers * result_bytes(largest))
        if how.merge_device == "cpu":
            scratch = max(_scratch_of_mergekit(plan) for plan in plans)
            yield Need("RAM", "its largest tensor at work", workers * scratch)
    elif how.merge_device == "cpu":
        scratch = max(_scratch_of_kernels(plan) for plan in plans)
        yield Need("RAM", "the largest tensor at work", workers * scratch)


def _kept(plans: Sequence[MergePlan], how: How, machine: Machine) -> Iterator[Need]:
    """Whole stages, where they are small: see :class:`~.merging.in_memory.Merger`."""
    if how.merge_device == "cuda":  # they lie where they were made
        return
    limit = min(KEPT_LIMIT_BYTES, int(KEPT_SHARE * machine.free.get("RAM", 0)))
    sizes = [size for size in _stage_bytes(plans) if size <= limit]
    held = min(limit, sum(sizes))
    yield Need("RAM", "stages kept for other candidates", how.workers * held)


def _stage_bytes(plans: Sequence[MergePlan]) -> list[int]:
    """Of every stage before the last that a generation makes."""
    stages = {stage.stage_key: plan for plan in plans for stage in plan.stages[:-1]}
    return [result_bytes(plan) for plan in stages.values()]


def _gpu(
    plans: Sequence[MergePlan], largest: MergePlan, evaluation: EvaluationPlan, how: How
) -> Iterator[Need]:
    workers = how.placement.sharing(how.workers)
    yield Need("GPU memory", "CUDA itself", workers * CUDA_CONTEXT_BYTES)
    answering = merging = 0
    if how.device == "cuda":
        resident = n_elements(largest) * scored_itemsize(largest, evaluation, how)
        yield Need("GPU memory", "the model that is scored", workers * resident)
        answering = _answering_bytes(largest, evaluation, how)
    if how.merge_device == "cuda":
        # The inputs are there too: on a CPU they are mapped files.
        inputs = max(len(stage.inputs) for plan in plans for stage in plan.stages)
        moved = inputs * _largest_tensor(largest) * _itemsize(largest)
        merging = moved + max(_scratch_of_mergekit(plan) for plan in plans)
    # A worker merges, then answers; never both at once.
    what = "a batch of answers" if answering >= merging else "the largest tensor at work"
    yield Need("GPU memory", what, workers * max(answering, merging))


# --------------------------------------------------------------------------------------
# Sizes


def model_bytes(model: SourceModel) -> int:
    """Bytes of a model's weights; two a parameter where its files are not here."""
    if model.tensors is None:
        return 2 * n_parameters(model)
    sizes = {"F64": 8, "F32": 4, "F8_E4M3": 1, "F8_E5M2": 1}
    return sum(math.prod(shape) * sizes.get(dtype, 2) for dtype, shape in model.tensors.values())


def n_parameters(model: SourceModel) -> int:
    """Parameters of a model: counted from its headers, else estimated from the stated facts.

    The estimate takes a gated MLP of ``intermediate_size`` (4 x hidden where it is not stated)
    and attention with grouped keys and values, as Llama and Qwen have.
    """
    if model.tensors is not None:
        return sum(math.prod(shape) for _, shape in model.tensors.values())
    f = model.facts
    hidden, inner = f.hidden_size, f.intermediate_size or 4 * f.hidden_size
    heads = f.num_attention_heads or 1
    keys = (f.num_key_value_heads or heads) / heads
    layer = hidden * hidden * (2 + 2 * keys) + 3 * hidden * inner
    tables = 1 if f.tie_word_embeddings else 2
    return int(f.num_hidden_layers * layer + tables * f.vocab_size * hidden)


def n_elements(plan: MergePlan) -> int:
    """Parameters of the result, which has the depth that the plan gives it."""
    largest = max(plan.models.values(), key=n_parameters)
    depth = plan.n_layers / max(1, largest.facts.num_hidden_layers)
    return int(n_parameters(largest) * max(1.0, depth))


def result_bytes(plan: MergePlan) -> int:
    """Bytes of what a plan writes."""
    return n_elements(plan) * _itemsize(plan)


def _itemsize(plan: MergePlan) -> int:
    return DTYPE_BYTES.get(str(plan.stages[-1].document.get("dtype", "bfloat16")), 2)


def scored_itemsize(plan: MergePlan, evaluation: EvaluationPlan, how: How) -> int:
    """Bytes of a parameter of the model that is scored."""
    if evaluation.dtype != "auto":
        return DTYPE_BYTES.get(evaluation.dtype, 2)
    if how.device == "cpu":  # CPUs score in float32
        return 4
    document = plan.stages[-1].document
    return DTYPE_BYTES.get(str(document.get("out_dtype") or document.get("dtype")), 2)


def _largest_tensor(plan: MergePlan) -> int:
    """Elements of the largest tensor, which is the embedding."""
    return max(m.facts.vocab_size * m.facts.hidden_size for m in plan.models.values())


def _scratch_of_kernels(plan: MergePlan) -> int:
    """Bytes at work while the largest tensor is merged in memory, on the CPU."""
    n_bytes = _largest_tensor(plan) * _itemsize(plan)
    sizes = []
    for stage in plan.stages:
        method = str(stage.document["merge_method"])
        if fast(method) is None:
            return _scratch_of_mergekit(plan)
        sizes.append(KERNEL_SIZES.get(method, LARGEST_KERNEL_SIZE))
    # Each stage before the last holds its tensor until the next one has read it.
    return int(n_bytes * (max(sizes) + len(sizes) - 1))


def _scratch_of_mergekit(plan: MergePlan) -> int:
    """The same for mergekit's own methods, and for all merges on a GPU."""
    n_bytes = _largest_tensor(plan) * _itemsize(plan)
    methods = [str(stage.document["merge_method"]) for stage in plan.stages]
    return int(n_bytes * max(MERGEKIT_SIZES.get(m, LARGEST_MERGEKIT_SIZE) for m in methods))


def _answering_bytes(plan: MergePlan, evaluation: EvaluationPlan, how: How) -> int:
    """Keys and values of a whole batch at its longest, and the activations of its prompts."""
    facts = plan.models[plan.config_donor].facts
    itemsize = scored_itemsize(plan, evaluation, how)
    heads = facts.num_attention_heads or 1
    head_dim = facts.head_dim or facts.hidden_size // heads
    row = 2 * (facts.num_key_value_heads or heads) * head_dim * plan.n_layers * itemsize
    tokens = PROMPT_TOKENS + answer_tokens(evaluation)
    inner = facts.intermediate_size or 4 * facts.hidden_size
    activations = PROMPT_TOKENS * (4 * facts.hidden_size + 3 * inner) * itemsize
    logits = facts.vocab_size * (itemsize + 8)  # and two float32 copies of them
    return evaluation.batch_size * (tokens * row + activations + logits)


# --------------------------------------------------------------------------------------
# Items


def answer_tokens(evaluation: EvaluationPlan) -> int:
    """Tokens of the longest answer that is allowed, by the recipe, or else by its tasks."""
    local = local_tasks([Path(path) for path in evaluation.include_paths])
    longest = 0
    for task in evaluation.tasks:
        known = local.get(task.task)
        given = generation.answer_tokens({**evaluation.gen_kwargs, **task.gen_kwargs})
        own = known.max_gen_toks if known is not None else None
        longest = max(longest, given or own or generation.ANSWER_TOKENS)
    return longest


def n_items(evaluation: EvaluationPlan) -> int:
    """Search items of all tasks, from the lines of their data files where these are here."""
    local = local_tasks([Path(path) for path in evaluation.include_paths])
    leaves = [task for task in local.values() if task.kind == "task"]
    items = 0
    for asked in evaluation.tasks:
        known, n = local.get(asked.task), ITEMS
        if known is not None and known.folders:
            # Tasks of one folder share its data files.
            lines = sum(_n_lines(folder) for folder in known.folders)
            sharing = sum(set(task.folders) <= set(known.folders) for task in leaves)
            n = lines * len(known.tasks) // max(1, sharing) or ITEMS
        n = round(n * (1 - evaluation.holdout))
        items += n if evaluation.limit is None else min(n, evaluation.limit)
    return items


def _n_lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl"))
