"""A compiled merge: canonical mergekit text, its stages, its models and its keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evomerge_compiler import yamlio
from evomerge_compiler.compiler.donors import Donors
from evomerge_compiler.compiler.merge_documents import FINAL, MergeDocument
from evomerge_compiler.compiler.mergekit_grammar import Grammar
from evomerge_compiler.compiler.model_headers import SourceModel
from evomerge_compiler.compiler.rendering import SOURCES

CONFIG_NAME = "mergekit.yaml"
_KEY_ORDER = (
    "name",
    "merge_method",
    "base_model",
    "models",
    "slices",
    "parameters",
    "tokenizer_source",
    "dtype",
    "out_dtype",
)
SEED_MASK = 0x7FFFFFFF


@dataclass(frozen=True)
class Stage:
    """One mergekit merge of a plan.

    Attributes:
        name: ``s1``, ...; the last one is ``final`` and has no name in the text.
        document: Its mergekit configuration, without ``name``.
        inputs: ``models/src/<alias>`` and names of earlier stages.
        stage_key: Content key of its result.
        random_seed: What ``--random-seed`` has to be for this stage, where it is not the plan's:
            a recipe draws the same masks alone and inside another one.
    """

    name: str
    document: Mapping[str, object] = field(repr=False)
    inputs: tuple[str, ...]
    stage_key: str
    random_seed: int | None = None


@dataclass(frozen=True)
class MergePlan:
    """A merge, ready to run.

    Attributes:
        text: Canonical YAML without comments, one document a stage.
        stages: In order of execution.
        models: Alias to the model, of all models that the merge reads or takes files from.
        merge_key: Content key of the whole merge.
        random_seed: What mergekit's ``--random-seed`` has to be.
        config_donor: Alias whose ``config.json`` the result gets.
        tokenizer_donor: Alias whose tokenizer it gets.
        chat_template_donor: Alias whose chat template it gets, None when there is none.
        n_layers: Layers of the result.
        depth_changed: Whether a stage has another depth than the model it is configured from,
            which mergekit 0.1.5 cannot finish for most architectures under transformers 5.
        notes: Sentences for the header comment.
    """

    text: str = field(repr=False)
    stages: tuple[Stage, ...] = field(repr=False)
    models: Mapping[str, SourceModel] = field(repr=False)
    merge_key: str
    random_seed: int
    config_donor: str
    tokenizer_donor: str
    chat_template_donor: str | None
    n_layers: int
    depth_changed: bool
    notes: tuple[str, ...]

    def seed_of(self, stage: Stage) -> int:
        """What mergekit's ``--random-seed`` has to be for one stage."""
        return self.random_seed if stage.random_seed is None else stage.random_seed

    def written(
        self,
        references: Mapping[str, str] | None = None,
        *,
        how: str = "run in the run folder",
    ) -> str:
        """The text with its header comment: the exact mergekit command, and the notes.

        Args:
            references: Alias to what replaces ``models/src/<alias>``, for a text that runs
                anywhere; an alias that is left out keeps its place in the run folder.
            how: What to do with the command, for the comment.
        """
        several = len(self.stages) > 1
        notes = list(self.notes)
        replaced: dict[str, object] = {}
        for alias, reference in (references or {}).items():
            local = reference.startswith("/")
            if not local or not any(sign in reference for sign in "+@"):
                replaced[SOURCES + alias] = reference
            elif several:
                # mergekit-multi turns references into text and splits them at '+' and '@'.
                notes.append(f"make {SOURCES}{alias} a link to {reference}")
            else:
                replaced[SOURCES + alias] = {"model": {"path": reference}}
        documents = [_substitute(stage.document, replaced) for stage in self.stages]
        named = [
            document if stage.name == FINAL else {"name": stage.name, **document}
            for stage, document in zip(self.stages, documents, strict=True)
        ]
        has_lora = any("+" in str(ref) for ref in replaced.values() if isinstance(ref, str))
        lines = [
            f"# compiled by evomerge; {how}:  {self.command(has_lora)}",
            *(f"# {note}" for note in notes),
        ]
        return "\n".join(lines) + "\n" + yamlio.dump_all(named)

    def command(self, has_lora: bool = False) -> str:
        """The mergekit command that runs the written text."""
        seed = f"--random-seed {self.random_seed} --no-write-model-card"
        lora = " --lora-merge-cache models/lora" if has_lora else ""
        if len(self.stages) > 1:
            # Without --no-lazy mergekit-multi takes any older stage of the same name.
            stages = "-I models/stages --out-path OUT --no-lazy"
            return f"mergekit-multi {CONFIG_NAME} {stages} {seed}{lora}"
        return f"mergekit-yaml {CONFIG_NAME} OUT {seed}{lora}"


def _substitute(data: Any, replaced: Mapping[str, object]) -> Any:
    if isinstance(data, Mapping):
        return {key: _substitute(value, replaced) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_substitute(value, replaced) for value in data]
    if isinstance(data, str):
        return replaced.get(data, data)
    return data


@dataclass(frozen=True)
class WrittenMerge(SourceModel):
    """A merge that others read from disk, as a model; it is written when it is not there.

    Attributes:
        plan: What makes it.
    """

    plan: MergePlan


# --------------------------------------------------------------------------------------
# Canonical documents


def canonical(
    document: MergeDocument,
    *,
    dtype: str,
    out_dtype: str | None,
    config_donor: str,
    tokenizer: str | None,
) -> dict[str, object]:
    """A document as it is written: keys in order, floats as floats, nothing left to chance.

    Args:
        document: A checked document.
        dtype: Precision when the document says none.
        out_dtype: Precision of the saved weights when the document says none.
        config_donor: Alias of the model whose configuration is wanted.
        tokenizer: Alias of the model to whose rows embeddings are brought, if they differ.
    """
    data = dict(document.data)
    data.pop("name", None)
    data["dtype"] = data.get("dtype") or dtype
    if out_dtype is not None and document.name == FINAL:
        data.setdefault("out_dtype", out_dtype)
    if document.base is None and document.method.base == "ignored":
        # Without a base mergekit takes the configuration of the first of a set.
        wanted = SOURCES + config_donor
        data["base_model"] = wanted if wanted in document.inputs else document.inputs[0]
    if tokenizer is not None:
        data["tokenizer_source"] = SOURCES + tokenizer
    floats = {p.name for p in document.method.parameters.values() if p.type == "float"}
    ordered = {key: data[key] for key in _KEY_ORDER if data.get(key) not in (None, {})}
    return {key: _numbers(value, floats) for key, value in ordered.items()}


def _numbers(data: Any, floats: set[str]) -> Any:
    """Whole numbers of float parameters as floats, so that 1 and 1.0 compile alike."""
    if isinstance(data, Mapping):
        return {
            key: _floats(value, floats) if key == "parameters" else _numbers(value, floats)
            for key, value in data.items()
            if value is not None and value != {}
        }
    if isinstance(data, (list, tuple)):
        return [_numbers(value, floats) for value in data]
    return data


def _floats(parameters: Any, floats: set[str]) -> dict[str, object]:
    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: v if k == "filter" else convert(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [convert(v) for v in value]
        is_int = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if is_int else value

    items = parameters.items()
    return {name: convert(value) if name in floats else value for name, value in items}


@dataclass(frozen=True)
class Part:
    """A stage before its plan is known.

    Attributes:
        name, document, inputs, random_seed: As in :class:`Stage`.
        random: Whether its method draws random numbers.
    """

    name: str
    document: dict[str, object]
    inputs: tuple[str, ...]
    random: bool
    random_seed: int | None = None


def renamed(document: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    """A document whose inputs have other names.

    Args:
        document: The document of a stage.
        names: Reference to its new name; what is left out keeps its name.
    """
    changed: dict[str, object] = _substitute(document, names)
    return changed


def references(document: Mapping[str, object], inputs: Sequence[str]) -> list[str]:
    """Everything that a stage's document names: inputs, and whose tokenizer it gets."""
    source = document.get("tokenizer_source")
    return list(dict.fromkeys((*inputs, *([source] if isinstance(source, str) else []))))


# --------------------------------------------------------------------------------------
# Keys


def digest(*parts: object) -> str:
    """sha256 over plain data."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def assemble(
    parts: Sequence[Part],
    *,
    models: Mapping[str, SourceModel],
    donors: Donors,
    grammar: Grammar,
    seed: int,
    n_layers: int,
    depth_changed: bool,
    notes: Sequence[str],
) -> MergePlan:
    """The plan of canonical documents.

    Args:
        parts: The stages in order of execution.
        models: Alias to model, of all that are read or give files.
        donors: Who gives what cannot be averaged.
        grammar: mergekit's.
        seed: The recipe's seed.
        n_layers: Layers of the result.
        depth_changed: See :class:`MergePlan`.
        notes: Sentences for the header.
    """
    named = [
        part.document if part.name == FINAL else {"name": part.name, **part.document}
        for part in parts
    ]
    text = yamlio.dump_all(named)
    identities = {alias: model.identity for alias, model in models.items()}
    giving = [donors.config, donors.tokenizer, donors.chat_template]
    # Seeds of other plans do not follow from this one's text.
    seeds = [part.random_seed for part in parts if part.random and part.random_seed is not None]
    merge_key = digest(text, identities, giving, grammar.version, seed, *seeds)
    random_seed = int(merge_key[:8], 16) & SEED_MASK
    keys: dict[str, object] = {SOURCES + alias: text for alias, text in identities.items()}
    stages: list[Stage] = []
    for part in parts:
        contents = _substitute(part.document, keys)
        own = random_seed if part.random_seed is None else part.random_seed
        key = digest(json.dumps(contents), grammar.version, own if part.random else None)
        keys[part.name] = key
        stages.append(Stage(part.name, part.document, part.inputs, key, part.random_seed))
    return MergePlan(
        text=text,
        stages=tuple(stages),
        models=models,
        merge_key=merge_key,
        random_seed=random_seed,
        config_donor=donors.config,
        tokenizer_donor=donors.tokenizer,
        chat_template_donor=donors.chat_template,
        n_layers=n_layers,
        depth_changed=depth_changed,
        notes=tuple(notes),
    )
