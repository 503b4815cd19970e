"""The transfer schemes of the lecture, compared at equal bytes: network, knowledge and data transfer."""

from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.experiments.recipes.transfer.page import errors_figure, images_figure, judged, page
from laconic.experiments.recipes.transfer.running import Row, Seed, row
from laconic.experiments.recipes.transfer.subject import DATA, FAST, FULL, HIDDEN, TEACHER, WAYS

_SOURCE = "Lecture slides on model compression, transfer schemes: network, knowledge and data transfer"
_ERRORS, _IMAGES = "transfer-schemes.png", "transfer-data.png"


def _run(context: Context) -> Outcome:
    """Train, teach, compress and judge, seed by seed."""
    real = holds(context.data_dir, "mnist", "train-images*")
    budget = FAST if context.fast or not real else FULL
    ways = [way for way in WAYS if real or way.data != "digits"]  # which stand in for the original images then
    seeds, rows, apart, shown = range(context.seed, context.seed + budget.seeds), list[Row](), list[float](), {}
    for number, seed in enumerate(seeds):
        whole = context.part(number / len(seeds), (number + 1) / len(seeds))
        of = Seed.of(whole.part(0.0, 0.05), real, budget, seed)
        for place, way in enumerate(ways):
            rows.append(
                row(of, way, whole.part(0.05 + 0.95 * place / len(ways), 0.05 + 0.95 * (place + 1) / len(ways)))
            )
        apart.append(of.generated()[1])
        if not number:
            shown = {"original": of.ready.split("train")[0]}
            shown |= {way.data: of.learned_from(way).split("train")[0] for way in DATA if way in ways}
    verdicts, worst = judged(rows, context.seed), max(apart)
    about = (
        f"Teacher: {TEACHER}; students: hidden layers of {' and '.join(map(str, HIDDEN))} neurons. Statistics of what "
        f"teachers made up are within {worst:.2g} of the data's: squared distance of two Gaussians over the variance, "
        "mean over the neurons, of the worst batch."
    )
    if not real:
        about += " Digits of scikit-learn, scaled, stand in for MNIST; as other data they are left out."
    record = {
        "recipe": "transfer-schemes", "source": _SOURCE, "network": f"{TEACHER} {of.ready.name}",
        "settings": budget.record(), "apart": worst, "rows": [one.record() for one in rows],
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    figures = {_ERRORS: errors_figure(rows, of.ready.name), _IMAGES: images_figure(shown)}
    return Outcome(record, page(rows, verdicts, budget, about, list(figures)), figures)


RECIPES = (
    Recipe(
        "transfer-schemes",
        "LeNet-300-100 in 10,000 bytes by transfer of the network, of knowledge, and by three kinds of other data",
        _SOURCE,
        "mnist in --data-dir; runs on built-in digits without",
        "half an hour of one core, a minute with --fast",
        _run,
    ),
)
