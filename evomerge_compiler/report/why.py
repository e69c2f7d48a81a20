"""Why a candidate scores as it does: what changed in its genes beside what changed in its scores.

Each parent is compared item by item on the items that both answered. A change of a domain is
called one when its paired 95 % interval leaves out zero. Genes are named beside it and never
credited: two candidates show what goes together, and only a single gene that changed alone, seen
more than once, shows more. Candidates of the same parent that changed just one of the genes are
therefore named too.

Sources: E. Miller, *Adding Error Bars to Evals* (arXiv 2411.00640), section 4.2, for the
intervals; S. Yan et al., *Positive-Congruent Training* (CVPR 2021), for counting the answers that
were right and became wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evomerge_compiler import fitness as fit
from evomerge_compiler.candidate import CandidateId, Scores, TaskItems
from evomerge_compiler.compiler.mergekit_grammar import RANDOM_METHODS
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.errors import UsageError
from evomerge_compiler.evaluation.items import AskedItem, AskedItems
from evomerge_compiler.evaluation.statistics import paired_difference
from evomerge_compiler.recipe import UNIFORM
from evomerge_compiler.report.asked import look_up
from evomerge_compiler.report.difference import changes_between, genes_of, merge_of
from evomerge_compiler.run_folder import RunFolder, StoredCandidate

ABSENT = "-"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class GeneChange:
    """A scalar of the genome that is not the parent's; ``-`` where a genome does not read it."""

    name: str
    old: object
    new: object

    @property
    def chosen(self) -> bool:
        """Whether both have it: else it came or went with the gene that it depends on."""
        return ABSENT not in (self.old, self.new)

    def __str__(self) -> str:
        return f"{self.name} {self.old} -> {self.new}"


@dataclass(frozen=True)
class Flip:
    """An item that only one of the two answers rightly.

    Attributes:
        position: Its place in the per-item results.
        old, new: The parent's value and the candidate's.
        item: What was asked; None where that cannot be found.
    """

    position: int
    old: float
    new: float
    item: AskedItem | None = None


@dataclass(frozen=True)
class DomainChange:
    """What became of one domain.

    Attributes:
        domain: The domain.
        old, new: The parent's score and the candidate's.
        low, high: Paired interval of the difference; None where there is none.
        note: Why there is no interval, or what it is of.
        gained: Items that were wrong and became right.
        lost: Items that were right and became wrong.
        items_note: Why the items have no texts.
    """

    domain: str
    old: float
    new: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    gained: tuple[Flip, ...] = ()
    lost: tuple[Flip, ...] = ()
    items_note: str = ""

    @property
    def difference(self) -> float:
        """How much better the candidate is."""
        return self.new - self.old

    @property
    def moved(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        return f"{self.domain} {self.difference:+.3f}"


@dataclass(frozen=True)
class Sibling:
    """Another child of the parent, in which one of the genes changed alone."""

    id: str
    gene: GeneChange
    domains: tuple[DomainChange, ...]


@dataclass(frozen=True)
class Comparison:
    """A candidate beside one parent, or beside a model that no gene leads to.

    Attributes:
        other: The parent's id, or the model's name.
        genes: What changed, None for a model.
        domains: What became of each domain; empty where one of the two has no scores.
        mean: The same of the weighted mean of the domains.
        siblings: What single genes of these did elsewhere.
        verdict: All that in words.
    """

    other: str
    genes: tuple[GeneChange, ...] | None
    domains: tuple[DomainChange, ...]
    mean: DomainChange | None
    siblings: tuple[Sibling, ...]
    verdict: str


@dataclass(frozen=True)
class Explanation:
    """What there is to say of a candidate.

    Attributes:
        id: The candidate.
        origin, operator: How it was made.
        state: ``scored``, ``told``, or why it has no scores.
        comparisons: With each parent, else with the best source model and the uniform merge.
        note: Why there is no comparison.
    """

    id: str
    origin: str
    operator: str
    state: str
    comparisons: tuple[Comparison, ...]
    note: str = ""


def explain(run: RunFolder, id: CandidateId, *, texts: bool = True) -> Explanation:
    """Compares a candidate with each of its parents.

    Args:
        run: The run.
        id: The candidate.
        texts: Whether to look up what the items are that flipped, which imports lm-eval.

    Raises:
        UsageError: There is no such candidate.
    """
    candidate = run.candidate(id)
    if candidate.problem is not None:
        raise candidate.problem
    shares = fit.weights(run.recipe.evaluation) if run.recipe.evaluation else {}
    note = ""
    if candidate.lineage.parents:
        parents = [run.candidate(parent) for parent in candidate.lineage.parents]
        compared = [_with_parent(run, parent, candidate, shares) for parent in parents]
    else:
        models = _models(run, shares)
        compared = [_with_model(name, scores, candidate, shares) for name, scores in models]
        if not compared:
            note = "it has no parents, and no model is scored yet that it could be compared with"
    if texts:
        compared = _with_texts(run, candidate, compared)
    lineage = candidate.lineage
    return Explanation(
        str(id), lineage.origin, lineage.operator, _state(candidate), tuple(compared), note
    )


def _state(candidate: StoredCandidate) -> str:
    if candidate.failure is not None:
        return f"failed ({candidate.failure.reason}): {candidate.failure.message}"
    if candidate.scores is None:
        return "not scored yet"
    return "told" if candidate.scores.told else "scored"


# -- one comparison ------------------------------------------------------------------------


def _with_parent(
    run: RunFolder,
    parent: StoredCandidate,
    candidate: StoredCandidate,
    shares: Mapping[str, float],
) -> Comparison:
    genes = _gene_changes(run, parent, candidate)
    domains, mean = _score_changes(parent.scores, candidate.scores, shares)
    siblings = _siblings(run, parent, candidate, genes) if _n_chosen(genes) > 1 else ()
    if parent.scores is None or candidate.scores is None:
        without = [f"{c.id} is {_state(c)}" for c in (parent, candidate) if c.scores is None]
        verdict = f"There are no scores to compare: {'; '.join(without)}."
    else:
        told = [str(c.id) for c in (parent, candidate) if c.scores is not None and c.scores.told]
        # A crossing merges its parents as they are, masks and all.
        drawn = () if isinstance(candidate.genome, Crossing) else (parent, candidate)
        verdict = _verdict(genes, domains, told, _random_methods(*drawn))
    return Comparison(str(parent.id), genes, domains, mean, siblings, verdict)


def _with_model(
    name: str, scores: Scores, candidate: StoredCandidate, shares: Mapping[str, float]
) -> Comparison:
    domains, mean = _score_changes(scores, candidate.scores, shares)
    verdict = f"No gene leads from {name} to {candidate.id}. {_moves(domains)}"
    return Comparison(name, None, domains, mean, (), verdict)


def _models(run: RunFolder, shares: Mapping[str, float]) -> list[tuple[str, Scores]]:
    """The best source model and the uniform merge, where they are scored on search items."""
    found = {name: run.baseline(name, "search") for name in (*run.recipe.all_models, UNIFORM)}
    scored = {name: scores for name, scores in found.items() if scores is not None}
    sources = sorted(scored.keys() - {UNIFORM})
    best = max(sources, key=lambda name: fit.fitness(scored[name], shares).value, default="")
    return [(name, scored[name]) for name in (best, UNIFORM) if name in scored]


def _gene_changes(
    run: RunFolder, parent: StoredCandidate, candidate: StoredCandidate
) -> tuple[GeneChange, ...]:
    old, new = genes_of(run, parent), genes_of(run, candidate)
    if isinstance(candidate.genome, Crossing) and old.get("template") != new["template"]:
        old = {}  # the parent's genes did not change: its model was merged
    rows = changes_between("gene", old, new)
    return tuple(GeneChange(str(row["name"]), row["old"], row["new"]) for row in rows)


def _n_chosen(genes: Sequence[GeneChange]) -> int:
    return sum(gene.chosen for gene in genes)


def _score_changes(
    old: Scores | None, new: Scores | None, shares: Mapping[str, float]
) -> tuple[tuple[DomainChange, ...], DomainChange | None]:
    if old is None or new is None:
        return (), None
    domains = tuple(_domain_change(d, old, new) for d in new.domains if d in old.domains)
    if len(domains) < 2 or any(domain.domain not in shares for domain in domains):
        return domains, None
    means = [fit.fitness(scores, shares).value for scores in (old, new)]
    mean = DomainChange("mean", means[0], means[1])
    if any(domain.low is None or domain.note for domain in domains):
        return domains, replace(mean, note="not all domains have paired items")
    before, after = ({d.domain: s.items[d.domain] for d in domains} for s in (old, new))
    return domains, _interval(mean, before, after, shares)


def _domain_change(domain: str, old: Scores, new: Scores) -> DomainChange:
    change = DomainChange(domain, old.domains[domain].value, new.domains[domain].value)
    before, after = old.items.get(domain), new.items.get(domain)
    if before is None or after is None:
        return replace(change, note="no per-item results")
    if before.item_set != after.item_set or len(before.values) != len(after.values):
        return replace(change, note="scored on other items")
    flips = [
        Flip(at, before.values[at], after.values[at])
        for at, (was, now) in enumerate(zip(before.right, after.right, strict=True))
        if was != now
    ]
    right = after.right
    change = replace(
        change,
        gained=tuple(flip for flip in flips if right[flip.position]),
        lost=tuple(flip for flip in flips if not right[flip.position]),
    )
    change = _interval(change, {domain: before}, {domain: after}, {domain: 1.0})
    of_items = sum(after.values) / len(after.values) - sum(before.values) / len(before.values)
    if abs(of_items - change.difference) > 1e-5:  # files hold six decimals
        change = replace(change, note=f"the interval is of the items' mean, {of_items:+.3f}")
    return change


def _interval(
    change: DomainChange,
    old: Mapping[str, TaskItems],
    new: Mapping[str, TaskItems],
    shares: Mapping[str, float],
) -> DomainChange:
    values = [{d: items.values for d, items in side.items()} for side in (new, old)]
    weights = {domain: shares[domain] for domain in new}
    try:
        paired = paired_difference(*values, weights=weights, confidence=CONFIDENCE)
    except UsageError as error:
        return replace(change, note=error.message)
    return replace(change, low=paired.low, high=paired.high)


def _siblings(
    run: RunFolder,
    parent: StoredCandidate,
    candidate: StoredCandidate,
    genes: Sequence[GeneChange],
) -> tuple[Sibling, ...]:
    """Other children of the parent that changed one of these genes, the same way, and no other."""
    wanted = {(gene.name, gene.new) for gene in genes if gene.chosen}
    found = []
    for number in run.generations()[parent.id.generation + 1 :]:
        for other in run.shown(number):
            if other.id == candidate.id or parent.id not in other.lineage.parents:
                continue
            changed = [g for g in _gene_changes(run, parent, other) if g.chosen]
            if len(changed) != 1 or (changed[0].name, changed[0].new) not in wanted:
                continue
            domains, _ = _score_changes(parent.scores, other.scores, {})
            if domains:
                found.append(Sibling(str(other.id), changed[0], domains))
    return tuple(found)


# -- words ---------------------------------------------------------------------------------


def _verdict(
    genes: Sequence[GeneChange],
    domains: Sequence[DomainChange],
    told: Sequence[str],
    random: Sequence[str],
) -> str:
    chosen = [gene for gene in genes if gene.chosen] or genes
    moves = _moves(domains)
    if not genes:
        same = all(domain.difference == 0 for domain in domains)
        words = "No gene changed, and no score." if same else f"No gene changed. {moves}"
    elif len(chosen) == 1:
        others = len(genes) - 1
        with_it = f" ({others} others came or went with it)" if others else ""
        words = f"{chosen[0]} is the only gene that changed{with_it}. {moves}"
    else:
        names = ", ".join(gene.name for gene in chosen)
        words = (
            f"{len(chosen)} genes changed together ({names}): what follows goes with all of them, "
            f"and none can be credited alone. {moves}"
        )
    if genes and random:
        words += f" The random masks of {' and '.join(random)} were drawn anew as well."
    if told:
        words += f" The scores of {' and '.join(told)} were told from outside."
    return words


def _random_methods(*candidates: StoredCandidate) -> list[str]:
    """The merge methods in some candidates that draw random numbers."""
    values = [value for c in candidates for value in merge_of(c).items()]
    methods = {str(value) for name, value in values if name.endswith(".merge_method")}
    return sorted(methods & RANDOM_METHODS)


def _moves(domains: Sequence[DomainChange]) -> str:
    """Which domains moved, and how often chance alone does as much."""
    known = [domain for domain in domains if domain.low is not None]
    if not known:
        return "No domain has paired items, so no change can be told from chance."
    moved = [domain for domain in known if domain.moved]
    if not moved:
        return "No domain moved by more than chance explains."
    words = f"By more than chance explains: {', '.join(map(str, moved))}"
    if len(known) > 1:
        often = f"{100 * (1 - CONFIDENCE ** len(known)):.0f} % of pairs"
        words += f"; among {len(known)} domains chance alone shows a move in {often}"
    return f"{words}."


# -- items ---------------------------------------------------------------------------------


def _with_texts(
    run: RunFolder, candidate: StoredCandidate, compared: Sequence[Comparison]
) -> list[Comparison]:
    """The comparisons with the texts of the items that flipped, where they can be found."""
    flipped = {d.domain for c in compared for d in c.domains if d.gained or d.lost}
    if not flipped or candidate.scores is None:
        return list(compared)
    found, missing = look_up(run, flipped)
    for domain, asked in list(found.items()):
        if asked.item_set != candidate.scores.items[domain].item_set:
            missing[domain] = "the task's items are no longer those that were scored"
            del found[domain]
    return [
        replace(c, domains=tuple(_texts_of(d, found, missing) for d in c.domains))
        for c in compared
    ]


def _texts_of(
    change: DomainChange, found: Mapping[str, AskedItems], missing: Mapping[str, str]
) -> DomainChange:
    if change.domain not in found:
        return replace(change, items_note=missing.get(change.domain, ""))
    items = found[change.domain].items
    gained, lost = (
        tuple(replace(flip, item=items[flip.position]) for flip in flips)
        for flips in (change.gained, change.lost)
    )
    return replace(change, gained=gained, lost=lost)
