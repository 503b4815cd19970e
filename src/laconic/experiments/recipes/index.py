"""The recipes by name, and the run of one."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from laconic import __version__
from laconic.errors import DataError
from laconic.experiments.recipes import (
    binary,
    codistillation,
    compact_first,
    deep_compression,
    denil2013,
    detection,
    distillation,
    distilled_lc,
    equal_sizes,
    gao2019,
    generalization,
    lc_curves,
    lc_rivals,
    lottery,
    manifold,
    n2n,
    narrower,
    parametrisations,
    pruning_finds,
    records,
    separable,
    terngrad,
    transfer,
)
from laconic.experiments.recipes.cache import Cache
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe, Say
from laconic.format.files import replace_file
from laconic.page.prose import prose_page

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe_.name: recipe_
        for room in (
            gao2019,
            equal_sizes,
            lc_curves,
            pruning_finds,
            deep_compression,
            records,
            parametrisations,
            generalization,
            distilled_lc,
            lc_rivals,
            codistillation,
            narrower,
            n2n,
            transfer,
            distillation,
            binary,
            lottery,
            denil2013,
            terngrad,
            manifold,
            detection,
            separable,
            compact_first,
        )
        for recipe_ in room.RECIPES
    }
)
"""Name → recipe."""


def recipe(name: str) -> Recipe:
    """Return recipe ``name``.

    Raises:
        DataError: when there is none; it names the nearest one.
    """
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, 1)
        hint = f", did you mean {close[0]!r}?" if close else ";"
        raise DataError(f"no recipe {name!r}{hint} Known are {', '.join(RECIPES)}")
    return RECIPES[name]


def reproduce(
    chosen: Recipe,
    folder: Path,
    say: Say,
    *,
    data_dir: Path | None = None,
    seed: int = 0,
    fast: bool = False,
    train: bool = False,
    force: bool = False,
) -> Outcome:
    """Run a recipe and write `result.json`, `report.md`, figures, and all as one page, `report.html`, to ``folder``.

    What an earlier run of the same job has finished there is not done again.

    Args:
        chosen: the recipe.
        folder: made where it is missing.
        say: told of the progress.
        data_dir: as `Context`.
        seed: as `Context`.
        fast: as `Context`.
        train: as `Context`.
        force: start over.

    Raises:
        OutputExists: when the folder holds something else and ``force`` is not set.
        DataError: when the recipe needs data that are not there.
    """
    job = {"recipe": chosen.name, "seed": seed, "fast": fast, "train": train, "threads": torch.get_num_threads()}
    context = Context(Cache(folder, job, force=force), data_dir, seed, fast, train, say)
    outcome = chosen.run(context)
    for name, figure in outcome.figures.items():
        figure.savefig(folder / name, dpi=120)
    (folder / "report.md").write_text(outcome.page, encoding="utf-8")
    drawn = {name: (folder / name).read_bytes() for name in outcome.figures}
    page = prose_page(outcome.page, drawn, f"laconic {__version__}, recipe {chosen.name}, seed {seed}")
    (folder / "report.html").write_text(page, encoding="utf-8")
    with replace_file(folder / "result.json", force=True) as file:
        file.write((json.dumps(outcome.record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return outcome
