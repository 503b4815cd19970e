"""What a network costs, layer by layer: parameters, multiply-adds, bytes of activations, energy and time."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from laconic.csteps.costs import Energy, Flops, ProfiledTime, Time, use_of
from laconic.csteps.layers import FLOAT, Layer, layers_of
from laconic.csteps.profile import Profile, Setting, best, predicted
from laconic.format.codes import Code
from laconic.models.counting import Call, Count
from laconic.models.uses import Use


@final
@dataclass(frozen=True)
class LayerCost:
    """What one part of a network costs for one input.

    Args:
        layer: path of the part of the module.
        parameters: elements of its own parameters, tied ones where they are first.
        multiply_adds: with dense weights.
        coded: with weights as their codes stand: factors, survivors alone.
        written: bytes of activations that it writes.
        picojoules: of arithmetic as coded, and of reading each stored bit of its parameters once.
        seconds: predicted; None without a profile.
        settings: layout, tile and threads of each product of each weight, the best there; none without a profile.
    """

    layer: str
    parameters: int
    multiply_adds: float
    coded: float
    written: float
    picojoules: float
    seconds: float | None
    settings: Mapping[str, tuple[Setting, ...]]


@final
@dataclass(frozen=True)
class NetworkCost:
    """What a network costs for one input.

    Args:
        layers: in the order in which they first run, then those with parameters that do not run.
        peak: most bytes of activations alive at a time, for the batch that was run.
        samples: in that batch.
        session: seconds of a run beside those of layers; None without a profile.
        batch: inputs that are run together, as far as time goes.
        unknown: operations that are not counted, and the layers that have them.
        machine: name of the profile; "" without.
    """

    layers: tuple[LayerCost, ...]
    peak: int
    samples: int
    session: float | None
    batch: int
    unknown: Mapping[str, tuple[str, ...]]
    machine: str

    def total(self, what: str) -> float:
        """Return the sum over layers of a field; of seconds that of a run, for one input of the batch."""
        return math.fsum(getattr(layer, what) or 0 for layer in self.layers) + (
            (self.session or 0.0) / self.batch if what == "seconds" else 0.0
        )

    def records(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        rows = [
            {**asdict(row), "settings": {name: [s._asdict() for s in own] for name, own in row.settings.items()}}
            for row in self.layers
        ]
        sums = {key: self.total(key) for key in ("parameters", "multiply_adds", "coded", "written", "picojoules")}
        seconds = None if self.session is None else self.total("seconds")
        return {
            "layers": rows, **sums, "seconds": seconds, "peak": self.peak, "samples": self.samples,
            "batch": self.batch, "machine": self.machine, "unknown": {k: list(v) for k, v in self.unknown.items()},
        }  # fmt: skip


def cost_of(
    count: Count,
    codes: Mapping[str, Code],
    profile: Profile | None = None,
    batch: int = 1,
    setting: Setting | None = None,
) -> NetworkCost:
    """Return what a network costs.

    Args:
        count: of a run.
        codes: of each parameter, by first name: as it is kept.
        profile: of the machine that time is predicted for.
        batch: inputs that are run together there.
        setting: in which all layers run; each in its best unless told.

    Raises:
        DataError: when an operation that nobody knows reads a weight.
        PlanError: when the profile knows nothing of a kind of layer.
    """
    uses, owned = count.uses(), dict[str, list[str]]()
    time = None if profile is None else Time.of_profile(profile, uses, batch, setting)
    for name, layer in count.layers.items():
        owned.setdefault(layer, []).append(name)
    calls = dict[str, list[Call]]()
    for call in count.calls:
        calls.setdefault(_where(call, count), []).append(call)
    paths = dict.fromkeys([*calls, *owned])
    rows = [_row(p, calls.get(p, []), owned.get(p, []), count, codes, uses, time) for p in paths]
    session, machine = (None, "") if profile is None else (profile.session, profile.name)
    return NetworkCost(tuple(rows), count.peak, count.samples, session, batch, count.unknown, machine)


def settings_of(codes: Mapping[str, Code], time: ProfiledTime) -> dict[str, tuple[Setting, ...]]:
    """Return for each weight that is applied the setting of each product that runs for it, in their order.

    Args:
        codes: of weights, by names that the positions of ``time`` have.
        time: with a profile.
    """
    assert time.profile is not None, "there is nothing to choose without"
    found = dict[str, tuple[Setting, ...]]()
    for name, code in codes.items():
        layers = layers_of(code, use_of(time.positions, name), as_stored=time.profile.weights == "stored")
        found[name] = tuple(time.setting or best(layer, time.profile, time.batch).setting for layer in layers)
    return {name: settings for name, settings in found.items() if settings}


def _where(call: Call, count: Count) -> str:
    """Return the layer of a call: of a weight within the part that was running, the part that has it."""
    owner = count.layers.get(call.weight, call.layer)
    within = not call.layer or owner.startswith(call.layer + ".")
    return owner if within else call.layer


def _row(
    path: str, calls: list[Call], names: list[str], count: Count, codes: Mapping[str, Code],
    uses: Mapping[str, Use], time: ProfiledTime | None,
) -> LayerCost:  # fmt: skip
    """Return what a layer costs."""
    flops, elements = Flops(uses), {name: math.prod(count.shapes[name]) for name in names}
    shares = {call.weight: _share(call.weight, calls, count) for call in calls if call.weight and call.multiply_adds}
    others = [call for call in calls if call.weight not in shares]
    coded = math.fsum([
        *map(count.for_one, others),
        *(share * flops(name, codes[name]) for name, share in shares.items()),
    ])  # fmt: skip
    return LayerCost(
        path,
        sum(elements.values()),
        math.fsum(map(count.for_one, calls)),
        coded,
        math.fsum(call.written / (1 if call.once else count.samples) for call in calls),
        coded * Energy().multiply_add + math.fsum(Energy(0)(name, codes[name]) for name in names),
        None if time is None else _seconds(shares, others, count.samples, codes, time),
        {} if time is None else settings_of({name: codes[name] for name in shares}, time),
    )


def _seconds(
    shares: Mapping[str, float], others: list[Call], samples: int, codes: Mapping[str, Code], time: ProfiledTime
) -> float:
    """Return the predicted seconds of a layer: of its shares of weights, and of its other calls."""
    assert time.profile is not None, "it was made of one"
    setting = time.setting and Setting(threads=time.setting.threads)
    products = [share * time(name, codes[name]) for name, share in shares.items()]
    return math.fsum(products) + predicted([_other(c, samples) for c in others], time.profile, time.batch, setting)


def _share(name: str, calls: list[Call], count: Count) -> float:
    """Return which share of the multiply-adds of a weight is in these calls: a tied one is in several layers."""
    own, every = (math.fsum(count.for_one(c) for c in some if c.weight == name) for some in (calls, count.calls))
    return own / every


def _other(call: Call, samples: int) -> Layer:
    """Return what a call without a weight is like, for one input: its kind, bytes and multiply-adds.

    A product of activations is like one of a square matrix.
    """
    each = samples if not call.once else 1
    read, written = (max(1, round(size / FLOAT / each)) for size in (call.read + call.weight_bytes, call.written))
    if call.multiply_adds:
        outputs = max(1, math.isqrt(written))
        return Layer(
            "dense", outputs, max(1, round(call.multiply_adds / each / written)), positions=-(-written // outputs)
        )
    kind = "pooling" if "pool" in call.operation else "normalization" if "norm" in call.operation else "elementwise"
    return Layer(kind, written, read)
