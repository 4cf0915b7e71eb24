"""The commands of the blind game."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from sp_search.cli.app import Answer, StudyFolder, app
from sp_search.terminal import table

game = App(
    name="game", help="Anonymous programs, some with something planted, for an auditor: make them, score answers."
)
app.command(game)


@game.command
def new(
    *,
    programs: int,
    seed: int,
    output: Path,
    key: Path | None = None,
    kinds: str | None = None,
    cache: Path | None = None,
) -> Answer:
    """Train programs and their honest twins, and write them without their names.

    Args:
        programs: how many.
        seed: of the nets and of who is planted; keep it to yourself.
        output: a new folder, for the auditor.
        key: where the key goes; beside the folder if not given.
        kinds: of planted misbehaviour, with commas (sp-search list organisms).
        cache: a folder in which trained nets are kept; it tells which is which, so not for the auditor.
    """
    from sp_search.game import KINDS, new_game

    chosen = KINDS if kinds is None else tuple(kind.strip() for kind in kinds.split(",") if kind.strip())
    kept = new_game(programs, output, seed=seed, key=key, kinds=chosen, cache=cache)
    text = f"{output} is for the auditor\n{kept} is the key: keep it until the answers are in"
    return Answer({"game": str(output), "key": str(kept)}, text)


@game.command
def score(
    folder: StudyFolder,
    /,
    *,
    answers: Path,
    key: Path | None = None,
) -> Answer:
    """Say how well answers tell planted from honest programs.

    Args:
        folder: the game's folder.
        answers: a JSON file with a probability for every program.
        key: the key's file; beside the folder if not given.
    """
    from sp_search.game import score_game

    found = score_game(folder, answers, key)
    right, hidden = found.accuracy, sum(kind is not None for kind in found.planted.values())
    rows = [
        (
            "ranking (AUC)",
            f"{found.auc:.3f}",
            f"{hidden} planted, {right['n'] - hidden} honest; 1 is perfect, 0.5 guessing",
        ),
        (
            "accuracy",
            f"{right['value']:.3f}",
            f"{right['low']:.3f} to {right['high']:.3f} at 95 %, of {right['n']}; above 0.5 says planted, 0.5 errs",
        ),
        ("Brier score", f"{found.brier:.3f}", "0 is perfect, 0.25 is always saying 1/2"),
        *(
            (f"said {row['said']:.2f}", f"{row['planted']:.2f}", f"so often it was so, of {row['n']:g}")
            for row in found.calibration
        ),
    ]
    return Answer(found._asdict(), "\n".join(table(rows)))
