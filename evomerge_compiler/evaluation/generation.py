"""Generation arguments: which there are, so that a slip of the pen costs no run.

lm-eval hands what it does not know itself to transformers' ``generate`` or to vLLM's
``SamplingParams``, which raise for an unknown name, once for each candidate. Here the names are
known before anything is merged, and without importing either library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evomerge_compiler.errors import ErrorList, EvomergeError, RecipeError, did_you_mean
from evomerge_compiler.recipe_schema import Backend, EvaluationSpec
from evomerge_compiler.yamlio import Document

# lm-eval's words for how long an answer may be; of several the first counts
# (lm_eval.models.utils.normalize_gen_kwargs).
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# Tokens of an answer where none of them says so (lm_eval.models.huggingface.HFLM.max_gen_toks).
ANSWER_TOKENS = 256
_OWN = (*LENGTHS, "until", "do_sample", "temperature")
# Fields of transformers' GenerationConfig that shape an answer.
TRANSFORMERS = (
    "do_sample", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff",
    "eta_cutoff", "repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "length_penalty", "exponential_decay_length_penalty",
    "num_beams", "early_stopping", "min_length", "min_new_tokens", "bad_words_ids",
    "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "renormalize_logits",
    "remove_invalid_values", "forced_bos_token_id", "forced_eos_token_id", "bos_token_id",
    "eos_token_id", "guidance_scale",
)  # fmt: skip
# Fields of vLLM's SamplingParams that do so.
VLLM = (
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "seed", "min_tokens", "stop_token_ids", "bad_words", "ignore_eos",
    "allowed_token_ids", "logit_bias",
)  # fmt: skip
_NAMES: dict[Backend, frozenset[str]] = {
    "hf": frozenset((*_OWN, *TRANSFORMERS)),
    "vllm": frozenset((*_OWN, *VLLM)),
}
# Arguments that exist and must not be given here, with what to do.
_SET_BY_LM_EVAL = "leave it out: lm-eval sets it"
REFUSED = {
    "max_length": "it counts the prompt too; write max_gen_toks",
    "max_time": "answers would depend on how fast the machine is; write max_gen_toks",
    "num_return_sequences": "an item has one answer; a task's `repeats:` asks it again",
    "n": "an item has one answer; a task's `repeats:` asks it again",
    "stop_strings": "write until: [...]",
    "stop": "write until: [...]",
    "use_cache": _SET_BY_LM_EVAL,
    "pad_token_id": _SET_BY_LM_EVAL,
}


def answer_tokens(kwargs: Mapping[str, Any]) -> int | None:
    """How long an answer may be, in tokens; None where the arguments do not say."""
    given = [kwargs[name] for name in LENGTHS if kwargs.get(name) is not None]
    return int(given[0]) if given else None


def check(spec: EvaluationSpec, document: Document | None) -> None:
    """Checks all generation arguments of a recipe.

    Args:
        spec: The recipe's ``evaluation:``.
        document: The recipe as read, for the places of mistakes.

    Raises:
        RecipeError: One does not exist, cannot be set here, or has a value of the wrong kind;
            several are an :class:`.ErrorList`.
    """
    tasks = [(("tasks", domain), task.gen_kwargs) for domain, task in spec.tasks.items()]
    found = [
        _error(("evaluation", *where, "gen_kwargs", name), message, hint, document, key=key)
        for where, kwargs in (((), spec.gen_kwargs), *tasks)
        for name, message, hint, key in _mistakes(kwargs, spec.backend)
    ]
    if found:
        raise found[0] if len(found) == 1 else ErrorList(found)


def unknown(kwargs: Mapping[str, Any], backend: Backend) -> list[str]:
    """The arguments that a backend does not have."""
    return [name for name in kwargs if name not in _NAMES[backend]]


def _mistakes(kwargs: Mapping[str, Any], backend: Backend) -> Iterator[tuple[str, str, str, bool]]:
    """Name, message, hint, and whether the key rather than its value is wrong."""
    strange = unknown(kwargs, backend)
    for name, value in kwargs.items():
        if name in REFUSED:
            yield name, f"generation argument {name!r} cannot be set here", REFUSED[name], True
        elif name in strange:
            known = _NAMES[backend]
            yield name, f"no generation argument {name!r}", did_you_mean(name, known), True
        else:
            expected, example = _VALUES.get(_kind(name), ("", ""))
            if expected and not _fits(_kind(name), value):
                message = f"{name}: expected {expected}, got {value!r}"
                yield name, message, f"for example {name}: {example}", False


# Kind of argument to what its value has to be, and an example.
_VALUES = {
    "length": ("a whole number of tokens, at least 1", "256"),
    "temperature": ("a number, at least 0", "0.7"),
    "do_sample": ("true or false", "true"),
    "until": ("a text at which an answer ends, or a list of them", '["\\n\\n"]'),
}


def _kind(name: str) -> str:
    return "length" if name in LENGTHS else name


def _fits(kind: str, value: object) -> bool:
    """Whether a value is of the right kind; those of other arguments are transformers' matter."""
    if kind == "do_sample":
        return isinstance(value, bool)
    if kind == "until":
        texts = value if isinstance(value, list) else [value]
        return all(isinstance(text, str) for text in texts)
    if isinstance(value, bool):
        return False
    if kind == "length":
        return isinstance(value, int) and value >= 1
    return isinstance(value, int | float) and value >= 0


def _error(
    path: Sequence[str], message: str, hint: str, document: Document | None, *, key: bool
) -> EvomergeError:
    if document is None:
        return RecipeError(message, hint=hint)
    return document.error(message, path, hint=hint, key=key)
