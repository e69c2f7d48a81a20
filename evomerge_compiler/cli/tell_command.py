"""``evomerge tell``: outcomes and candidates from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.cli.common import json_option, print_json, run_path
from evomerge_compiler.errors import FAILURE_REASONS, Place, UsageError

if TYPE_CHECKING:
    from evomerge_compiler.ask_tell import Answer

MAX_BYTES = 64 << 20


@click.command(
    epilog="Examples: evomerge tell runs/quickstart 000/c03 scores.json  |  "
    "evomerge evaluate runs/a:000/c03 --split search --json | evomerge tell runs/a 000/c03 -  |  "
    'evomerge tell runs/quickstart 000/c03 --failed timeout "two hours"  |  '
    "evomerge tell runs/quickstart --propose mine.yaml"
)
@click.argument("run")
@click.argument("candidate", required=False, metavar="[ID]")
@click.argument("file", required=False, metavar="[FILE|-]")
@click.option(
    "--failed",
    type=(click.Choice(FAILURE_REASONS), str),
    metavar="REASON MESSAGE",
    help=f"It has no scores, for one of the reasons {', '.join(FAILURE_REASONS)}.",
)
@click.option(
    "--propose",
    type=click.Path(path_type=Path),
    metavar="RECIPE",
    help="Put a candidate of your own into a slot that has no outcome yet.",
)
@json_option
def command(
    run: str,
    candidate: str | None,
    file: str | None,
    failed: tuple[str, str] | None,
    propose: Path | None,
    as_json: bool,
) -> None:
    """Give a candidate the outcome that another tool, or a hand, came to.

    FILE is JSON, {"code": {"value": 0.61, "stderr": 0.02, "n": 400}, ...} with an entry for each
    domain, or results as lm-eval and `evomerge evaluate --json` write them. An outcome stands
    once it is there. The last one seals its generation.
    """  # fmt: skip
    from evomerge_compiler import ask_tell

    folder = run_path(run)
    if propose is not None:
        if candidate is not None or failed is not None:
            raise UsageError("--propose takes the run and a recipe, and nothing else")
        id = ask_tell.propose(folder, propose)
        print_json({"id": str(id)}) if as_json else click.echo(id)
        return
    if candidate is None or (file is None) == (failed is None):
        raise UsageError(
            "expected RUN ID FILE, RUN ID --failed REASON MESSAGE, or RUN --propose RECIPE",
            hint=f"evomerge ask {folder} prints the IDs that are open",
        )
    id = CandidateId.parse(candidate)
    if failed is not None:
        answer = ask_tell.tell_failure(folder, id, *failed)
    else:
        assert file is not None
        answer = ask_tell.tell(folder, id, _json(file))
    for warning in answer.warnings:
        click.echo(f"warning: {warning}", err=True)
    print_json(_data(answer)) if as_json else click.echo(_words(answer))


def _json(file: str) -> object:
    """The data of a JSON file, or of stdin for ``-``.

    Raises:
        UsageError: It cannot be read, or is not JSON.
    """
    try:
        with click.open_file(file, encoding="utf-8") as stream:
            text = stream.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {error}") from None
    if len(text) > MAX_BYTES:
        raise UsageError(f"{file} is longer than {MAX_BYTES} characters: no scores are")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1 : error.lineno]
        place = Place("stdin" if file == "-" else file, error.lineno, error.colno, *line)
        raise UsageError(f"is not JSON: {error.msg}", place=place) from None
    except RecursionError:
        raise UsageError(f"{file} is nested too deeply for scores") from None


def _data(answer: Answer) -> dict[str, Any]:
    fitness = answer.fitness
    return {
        "id": str(answer.id),
        "fitness": list(fitness.objectives) if fitness else None,
        "stderr": fitness.stderr if fitness else None,
        "changed": answer.changed,
        "sealed": answer.sealed,
        "open": [str(id) for id in answer.open],
    }


def _words(answer: Answer) -> str:
    value = "failed"
    if answer.fitness is not None:
        value = "fitness " + ", ".join(f"{v:.4f}" for v in answer.fitness.objectives)
        if answer.fitness.stderr is not None:
            value += f" ± {answer.fitness.stderr:.4f}"
    if not answer.changed:
        return f"{answer.id}: {value}; it was told before, nothing changed"
    generation = f"generation {answer.id.generation:03d}"
    rest = (
        f"{generation} is sealed" if answer.sealed else f"{len(answer.open)} open in {generation}"
    )
    return f"{answer.id}: {value}; {rest}"
