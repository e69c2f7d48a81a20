"""The stages of a merge, planned: everything but the tensors themselves.

Much of a plan serves other merges too: sources are opened and configurations read once, and
candidates that differ in weights and densities alone share the layout of their stages and the text
files of their results.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge_compiler.compiler.mergekit_grammar import RANDOM_METHODS
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.merging.cli import SOURCE_PREFIX, mentioned
from evomerge_compiler.merging.failures import process_failure
from evomerge_compiler.merging.kernels import Findings
from evomerge_compiler.merging.mergekit_inputs import reference
from evomerge_compiler.merging.mergekit_layout import StageLayout, Tokenizers
from evomerge_compiler.merging.mergekit_tasks import InMemoryUnavailable, StageTasks
from evomerge_compiler.merging.model_files import CONFIG, read_json
from evomerge_compiler.merging.options import MergeOptions, gpu_available
from evomerge_compiler.merging.shells import Shells, file_donors, stage_config, text_files
from evomerge_compiler.merging.stage_inputs import StageLayers, input_config, stage_layers
from evomerge_compiler.merging.stage_results import StageTensors
from evomerge_compiler.merging.tensors import SourceModel
from evomerge_compiler.merging.verify import names_fit
from evomerge_compiler.merging.weights import TensorSpec
from evomerge_compiler.processes import CommandResult

if TYPE_CHECKING:
    import torch

    from evomerge_compiler.compiler import MergePlan, Stage

# Layouts of stages are kept for other merges up to here, and a tensor of one takes about so much.
_LAYOUTS_BYTES, _TENSOR_BYTES = 64 << 20, 8 << 10


class Known:
    """What planning keeps between merges.

    Args:
        work: Folder for shells, below ``shells/``.
        options: How mergekit runs; what concerns files has no effect.
    """

    def __init__(self, work: Path, options: MergeOptions) -> None:
        self.options = options
        self.shells = Shells(work / "shells")
        self.tokenizers = Tokenizers()
        self.layouts = Findings(_LAYOUTS_BYTES)
        self.filled_shells: dict[Hashable, Path] = {}
        self._sources: dict[Path, tuple[Hashable, SourceModel]] = {}
        self._configs: dict[str, Any] = {}

    def source(self, folder: Path) -> SourceModel:
        """A source model, opened once."""
        if folder not in self._sources:
            self._sources[folder] = _state(folder), SourceModel(folder)
        return self._sources[folder][1]

    def forget_removed(self) -> bool:
        """Closes the sources whose folders are gone, or were made again; whether there were any.

        A disk gets the space of a removed file back when nobody holds it any more.
        """
        held = self._sources
        self._sources = {
            folder: known for folder, known in held.items() if known[0] == _state(folder)
        }
        return len(self._sources) < len(held)

    def config(self, folder: Path, layers: StageLayers) -> Any:
        """The configuration of an input as mergekit is to see it, read once."""
        own = read_json(folder / CONFIG)
        seen = input_config(own, layers)
        key = json.dumps([str(folder), seen], sort_keys=True)
        if key not in self._configs:
            from transformers import AutoConfig

            place = folder if seen == own else self.shells.config(seen, folder)
            self._configs[key] = AutoConfig.from_pretrained(
                place, trust_remote_code=self.options.trust_remote_code
            )
        return self._configs[key]


@dataclass(frozen=True)
class LaidOut:
    """A stage without the values of its parameters.

    Attributes:
        key: Equal for stages that are equal but for these values.
        layers: Where its layers come from.
        layout: Its tensors.
        folders: Name in the document to model folder.
        fits: Whether its tensors are those of its inputs.
    """

    key: Hashable
    layers: StageLayers
    layout: StageLayout
    folders: Mapping[str, Path]
    fits: bool


@dataclass(frozen=True)
class Planned:
    """A stage that mergekit has planned."""

    stage: Stage
    laid_out: LaidOut
    tasks: StageTasks

    @property
    def graph(self) -> StageTensors:
        """Its tensors."""
        return self.laid_out.layout.graph

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Name to what comes out, sorted by name."""
        return self.laid_out.layout.specs

    @property
    def n_bytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(spec.n_bytes for spec in self.specs.values())


Equal = Callable[[Planned, str, str], bool]


class StagePlanner:
    """Plans the stages of one merge, in order of execution.

    Args:
        known: What is known of earlier merges.
        plan: The compiled merge.
        sources: Alias to model folder.

    Attributes:
        stages: Name to what was planned.
    """

    def __init__(self, known: Known, plan: MergePlan, sources: Mapping[str, Path]) -> None:
        self.stages: dict[str, Planned] = {}
        self._known = known
        self._merge = plan
        self._sources = sources
        self._shells: dict[str, Path] = {}
        self._files: dict[Path, Hashable] = {}
        self._opened: dict[str, SourceModel] = {}

    def folder(self, name: str) -> Path:
        """The folder of a source, or of a stage's text files, by its name in the documents."""
        if is_source(name):
            return self._sources[name[len(SOURCE_PREFIX) :]]
        return self._shells[name]

    def source(self, name: str) -> SourceModel:
        """A source model, by its name in the documents."""
        if name not in self._opened:
            self._opened[name] = self._known.source(self.folder(name))
        return self._opened[name]

    def identity(self, name: str) -> str:
        """The content key of a stage; the folder of a source, whose files never change."""
        if is_source(name):
            return str(self.folder(name))
        return self.stages[name].stage.stage_key

    def _tensors(self, name: str) -> Mapping[str, TensorSpec]:
        return self.source(name).tensors if is_source(name) else self.stages[name].specs

    def add(self, stage: Stage, equal: Equal) -> None:
        """Plans the next stage.

        Args:
            stage: The stage.
            equal: Whether two tensors of it are equal bit for bit.

        Raises:
            WorkFailed: mergekit refuses it.
            InMemoryUnavailable: Only the command can do it, or say that it cannot be done.
        """
        key = self._layout_key(stage)
        with explained(stage):
            laid_out = self._known.layouts.recall(
                key,
                partial(self._lay_out, stage, key),
                lambda found: _TENSOR_BYTES * len(found.layout.outputs),
            )
            tasks = StageTasks(laid_out.layout, stage.document, self._known.tokenizers)
        planned = Planned(stage, laid_out, tasks)
        self._shells[stage.name] = self._shell(planned, equal)
        self.stages[stage.name] = planned

    def _layout_key(self, stage: Stage) -> Hashable:
        """Equal for stages that differ in the values of parameters and of inputs alone."""
        inputs = tuple(
            (name, self.folder(name), self._text_files(self.folder(name)))
            if is_source(name)
            else (name, self.stages[name].laid_out.key, self.folder(name))
            for name in _models(stage)
        )
        return json.dumps(_without_values(stage.document)), inputs

    def _lay_out(self, stage: Stage, key: Hashable) -> LaidOut:
        folders = {name: self.folder(name) for name in _models(stage)}
        tensors = {name: self._tensors(name) for name in folders}
        layers = stage_layers(stage.document, {name: folders[name] for name in stage.inputs})
        inputs = {
            name: reference(name, folder, self._known.config(folder, layers))
            for name, folder in folders.items()
        }
        layout = StageLayout(
            stage.document, inputs, tensors, self._read_while_planning,
            _mergekit_options(self._known.options, self._merge.seed_of(stage)),
            in_order=stage.document["merge_method"] in RANDOM_METHODS,
            tokenizers=self._known.tokenizers,
        )  # fmt: skip
        fits = names_fit(layout.specs, tensors, layers)
        return LaidOut(key, layers, layout, folders, fits)

    def _shell(self, planned: Planned, equal: Equal) -> Path:
        """The text files of a stage's result; those of stages that are laid out alike are one."""
        stage, laid_out, shells = planned.stage, planned.laid_out, self._known.filled_shells
        donors = file_donors(self._merge, stage, laid_out.folders, laid_out.layers, self._sources)
        folders = [donors.config, donors.tokenizer, donors.chat_template]
        states = tuple(self._text_files(folder) for folder in folders if folder is not None)
        key = (laid_out.key, donors, states)
        if key in shells:
            return shells[key]
        values_count = False

        def noted(one: str, other: str) -> bool:
            nonlocal values_count
            values_count = True
            return equal(planned, one, other)

        config = stage_config(donors, planned.specs, laid_out.layers, noted)
        if not laid_out.fits:
            raise InMemoryUnavailable(
                f"whether the result of stage {stage.name} loads is for transformers to say"
            )
        own = planned.tasks.write_tokenizer if donors.own_tokenizer else None
        made_from = list(laid_out.folders.values()) if donors.own_tokenizer else []
        shell = self._known.shells.stage(config, donors, own, made_from)
        if not values_count:
            shells[key] = shell
        return shell

    def _text_files(self, folder: Path) -> Hashable:
        """What would show that a donor's files were changed, looked at once a merge."""
        if folder not in self._files:
            self._files[folder] = tuple(text_files(folder))
        return self._files[folder]

    def _read_while_planning(self, name: str, tensor: str) -> torch.Tensor:
        if not is_source(name):
            raise InMemoryUnavailable(f"{tensor} of stage {name} has to be converted by mergekit")
        return self.source(name).read(tensor)


def is_source(name: str) -> bool:
    """Whether a name in a document is that of a source model, not of an earlier stage."""
    return name.startswith(SOURCE_PREFIX)


@contextmanager
def explained(stage: Stage) -> Iterator[None]:
    """Turns what mergekit raises in a stage into the error that its command would end with."""
    try:
        yield
    except (EvomergeError, MemoryError):
        raise
    except Exception as error:
        text = "".join(traceback.format_exception_only(error))
        raise failure(stage, text) from error


def failure(stage: Stage, text: str, timed_out: bool = False) -> EvomergeError:
    """The error that the command of a stage would end with, given what it would have said."""
    result = CommandResult(1, "", text, 0.0, timed_out)
    return process_failure(result, f"mergekit failed in stage {stage.name}")


def _state(folder: Path) -> Hashable:
    """Equal as long as a folder is the same one; None when it is gone."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns  # the number alone may be given again


def _mergekit_options(own: MergeOptions, random_seed: int) -> Any:
    """The options that the command line of a merge gives; what concerns files is left out."""
    from mergekit.options import MergeOptions as Options

    return Options(
        random_seed=random_seed,
        cuda=gpu_available() if own.cuda is None else own.cuda,
        allow_crimes=own.allow_crimes,
        trust_remote_code=own.trust_remote_code,
    )


def _without_values(document: Any) -> Any:
    """A document without its parameters, which decide nothing about the layout of the result."""
    if isinstance(document, Mapping):
        # Below "tokenizer" stand names of tokens, which may be any.
        return {
            key: value if key == "tokenizer" else _without_values(value)
            for key, value in document.items() if key != "parameters"
        }  # fmt: skip
    if isinstance(document, (list, tuple)):
        return [_without_values(part) for part in document]
    return document


def _models(stage: Stage) -> list[str]:
    """The models that a stage reads or mentions."""
    return list(dict.fromkeys([*stage.inputs, *mentioned(stage.document)]))
