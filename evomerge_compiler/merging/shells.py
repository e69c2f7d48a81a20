"""The text files of a merged model: beside its weights, or alone where it has none on disk.

A *shell* is a model folder without weights. It is named by what its files are made from, appears
whole (rename) and is never changed, so that all candidates with the same configuration, tokenizer
and chat template share one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge_compiler.merging.model_files import (
    CONFIG,
    copy_code,
    copy_tokenizer,
    merged_config,
    read_json,
    write_json,
)
from evomerge_compiler.merging.stage_inputs import StageLayers
from evomerge_compiler.merging.weights import TensorSpec

if TYPE_CHECKING:
    from evomerge_compiler.compiler import MergePlan, Stage


@dataclass(frozen=True)
class FileDonors:
    """The model folders that a stage's files come from.

    Attributes:
        config: Gives config.json.
        tokenizer: Gives the tokenizer.
        chat_template: Gives the chat template; None when the merge has none.
        code: Whether ``config`` also gives its Python files.
        own_tokenizer: mergekit makes a tokenizer, which is kept in place of the donor's.
    """

    config: Path
    tokenizer: Path
    chat_template: Path | None
    code: bool
    own_tokenizer: bool


def file_donors(
    plan: MergePlan,
    stage: Stage,
    inputs: Mapping[str, Path],
    layers: StageLayers,
    sources: Mapping[str, Path],
) -> FileDonors:
    """Who gives a stage its files.

    Args:
        plan: The merge; names the donors of its last stage.
        stage: One of its stages. The donor of an earlier one is the input its embeddings are from.
        inputs: Name in the stage's document to model folder.
        layers: Where the stage's layers come from.
        sources: Alias to model folder.
    """
    own = bool({"tokenizer", "tokenizer_source"} & stage.document.keys())
    if stage is not plan.stages[-1]:
        donor = inputs[layers.first]
        return FileDonors(donor, donor, None, code=False, own_tokenizer=own)
    template = plan.chat_template_donor
    return FileDonors(
        config=sources[plan.config_donor],
        tokenizer=sources[plan.tokenizer_donor],
        chat_template=None if template is None else sources[template],
        code=True,
        own_tokenizer=own,
    )


def stage_config(
    donors: FileDonors,
    tensors: Mapping[str, TensorSpec],
    layers: StageLayers,
    equal: Callable[[str, str], bool],
) -> dict[str, Any]:
    """The config.json of a stage's result.

    Args:
        donors: Who gives what.
        tensors: The merged tensors.
        layers: Where its layers come from.
        equal: Whether two merged tensors are equal bit for bit.
    """
    other = donors.tokenizer != donors.config
    return merged_config(
        read_json(donors.config / CONFIG),
        tensors,
        n_layers=layers.n_layers,
        per_layer=layers.per_layer,
        equal=equal,
        token_ids=read_json(donors.tokenizer / CONFIG) if other else None,
    )


def write_files(folder: Path, config: Mapping[str, Any], donors: FileDonors) -> None:
    """Writes all text files of a stage's result."""
    write_json(folder / CONFIG, config)
    copy_tokenizer(
        donors.tokenizer, donors.chat_template, folder, keep_tokenizer=donors.own_tokenizer
    )
    if donors.code:
        copy_code(donors.config, folder)


class Shells:
    """Model folders without weights.

    Args:
        folder: Where they lie; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: set[str] = set()

    def stage(
        self,
        config: Mapping[str, Any],
        donors: FileDonors,
        tokenizer: Callable[[Path], None] | None = None,
        made_from: Sequence[Path] = (),
    ) -> Path:
        """The shell of a stage's result.

        Args:
            config: Its config.json.
            donors: Who gives the other files.
            tokenizer: Writes a tokenizer into a folder, where mergekit makes one.
            made_from: The model folders that this tokenizer is made from.
        """

        def fill(part: Path) -> None:
            if tokenizer is not None:
                tokenizer(part)
            write_files(part, config, donors)

        code = donors.config if donors.code else None
        folders = [donors.tokenizer, donors.chat_template, code, *made_from]
        states = [None if folder is None else list(text_files(folder)) for folder in folders]
        return self._shell([config, donors.own_tokenizer, states], fill)

    def config(self, config: Mapping[str, Any], code: Path) -> Path:
        """A shell with a config.json alone, and the Python files that may belong to it."""

        def fill(part: Path) -> None:
            write_json(part / CONFIG, config)
            for path in sorted(code.glob("*.py")):
                shutil.copyfile(path, part / path.name)

        return self._shell([config, list(text_files(code, "*.py"))], fill)

    def _shell(self, content: Sequence[object], fill: Callable[[Path], None]) -> Path:
        text = json.dumps(content, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        path = self.folder / key
        if key not in self._known and not path.is_dir():
            # Nobody else has a process of this number, so this is left over from a killed one.
            part = self.folder / f".{key}.{os.getpid()}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            fill(part)
            try:
                part.rename(path)
            except OSError:
                # Another worker was first, with the same files.
                shutil.rmtree(part)
                if not path.is_dir():
                    raise
        self._known.add(key)
        return path


def text_files(folder: Path, pattern: str = "*") -> Iterator[tuple[str, int, int]]:
    """Path, size and time of a donor's files: whoever changes one gets another shell."""
    place = folder.resolve()
    for path in sorted(place.glob(pattern)):
        if path.is_file() and path.suffix != ".safetensors":
            state = path.stat()
            yield str(path), state.st_size, state.st_mtime_ns
