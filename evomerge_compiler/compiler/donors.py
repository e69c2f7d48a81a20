"""Whether models go together, and which of them gives configuration, tokenizer and template.

mergekit takes ``config.json`` and tokenizer from the base model, or else from whichever input
comes first in a set, and says nothing when the others differ in rope, norm epsilon or tying of
embeddings. Where it matters, the recipe has to say whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evomerge_compiler.compiler.model_headers import ModelFacts
from evomerge_compiler.errors import CompileError, EvomergeError, Place
from evomerge_compiler.recipe import Recipe

# Numbers that every tensor's shape follows from; they have to be equal.
_SHAPE = (
    ("architecture", "architecture"),
    ("hidden_size", "hidden size"),
    ("intermediate_size", "intermediate size"),
    ("num_attention_heads", "number of attention heads"),
    ("num_key_value_heads", "number of key-value heads"),
    ("head_dim", "head dimension"),
)
_CONFIG = (
    ("rope", "rotary embedding"),
    ("rms_norm_eps", "norm epsilon"),
    ("tie_word_embeddings", "tying of embeddings"),
)


@dataclass(frozen=True)
class Donors:
    """Aliases of the models that give what a merge cannot average.

    Attributes:
        config: Gives ``config.json``.
        tokenizer: Gives the tokenizer.
        chat_template: Gives the chat template, None when no model has one.
        align: Whether embeddings have to be brought to the tokenizer's rows by token.
    """

    config: str
    tokenizer: str
    chat_template: str | None
    align: bool


def choose(
    recipe: Recipe, facts: Mapping[str, ModelFacts], used: Sequence[str]
) -> tuple[Donors, list[EvomergeError]]:
    """The donors of a merge, and everything that keeps its models from going together.

    Args:
        recipe: The recipe.
        facts: Alias to facts, of every model of the recipe.
        used: Aliases of the models that the merge reads.
    """
    default = recipe.base if recipe.base in used or not used else used[0]
    config = recipe.config_from or default
    tokenizer = recipe.tokenizer or default
    judge = _Judge(recipe, facts)
    errors = list(judge.shapes())
    if not errors:
        errors += [*judge.config(config), *judge.tokenizer(), *judge.template()]
    template = recipe.chat_template or tokenizer
    has_template = recipe.chat_template is not None or facts[template].chat_template != ""
    donors = Donors(
        config=config,
        tokenizer=tokenizer,
        chat_template=template if has_template else None,
        align=judge.rows_differ(),
    )
    return donors, errors


def differ(one: ModelFacts, other: ModelFacts) -> list[str]:
    """What in two models' configurations a merge would have to choose between."""
    return [what for name, what in _CONFIG if _distinct([one, other], name)]


class _Judge:
    def __init__(self, recipe: Recipe, facts: Mapping[str, ModelFacts]) -> None:
        self.recipe = recipe
        self.facts = facts

    def place(self, alias: str) -> Place:
        is_base = self.recipe.base_spec is not None and alias == self.recipe.base
        return self.recipe.document.place(("base",) if is_base else ("models", alias))

    def shapes(self) -> Iterator[EvomergeError]:
        for name, what in _SHAPE:
            yield from self.difference(name, what, self.shape_hint)

    def shape_hint(self, alias: str) -> str:
        return f"only models of one shape can be merged: replace {alias}"

    def config(self, donor: str) -> Iterator[EvomergeError]:
        named = self.recipe.config_from is not None
        for name, what in _CONFIG:
            if not named:
                yield from self.difference(name, what, self.config_hint)
        untied = [alias for alias, f in self.facts.items() if not f.tie_word_embeddings]
        if untied and self.facts[donor].tie_word_embeddings and named:
            yield CompileError(
                f"config_from names {donor!r}, which ties its embeddings: the head merged from "
                f"{', '.join(untied)} would be ignored",
                hint=f"write config_from: {untied[0]}",
                place=self.recipe.document.place(("config_from",)),
            )

    def config_hint(self, _alias: str) -> str:
        untied = [alias for alias, f in self.facts.items() if not f.tie_word_embeddings]
        donor = (untied or list(self.facts))[0]
        return f"say whose config.json the merge gets, for example config_from: {donor}"

    def tokenizer(self) -> Iterator[EvomergeError]:
        if self.recipe.tokenizer is not None:
            return

        def hint(alias: str) -> str:
            first = next(iter(self.facts))
            return f"say whose tokenizer the merge gets, tokenizer: {first} or {alias}"

        yield from self.difference("vocab_size", "vocabulary size", hint)
        yield from self.difference("vocabulary", "vocabulary", hint)

    def template(self) -> Iterator[EvomergeError]:
        if self.recipe.tokenizer is not None or self.recipe.chat_template is not None:
            return

        def hint(alias: str) -> str:
            having = [a for a, f in self.facts.items() if f.chat_template]
            return f"say whose the merge gets, for example chat_template: {(having or [alias])[0]}"

        yield from self.difference("chat_template", "chat template", hint)

    def rows_differ(self) -> bool:
        """Whether row i of two embeddings may be two different tokens."""
        facts = list(self.facts.values())
        return _distinct(facts, "vocab_size") or _distinct(facts, "vocabulary")

    def difference(
        self, name: str, what: str, hint: Callable[[str], str]
    ) -> Iterator[EvomergeError]:
        """An error when models differ in one fact, at the first that differs."""
        known = {
            alias: getattr(facts, name)
            for alias, facts in self.facts.items()
            if getattr(facts, name) not in (None, "?")
        }
        if len(set(known.values())) < 2:
            return
        first = next(iter(known))
        alias = next(a for a in known if known[a] != known[first])
        shown = f": {_shown(known[first])} and {_shown(known[alias])}"
        yield CompileError(
            f"{first} and {alias} differ in {what}{shown}",
            hint=hint(alias),
            place=self.place(alias),
        )


def _distinct(facts: Sequence[ModelFacts], name: str) -> bool:
    values = {getattr(f, name) for f in facts} - {None, "?"}
    return len(values) > 1


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "tied" if value else "untied"
    text = str(value)
    if len(text) == 64:
        # A hash: enough of it to tell two apart.
        return text[:8]
    return text or "none"
