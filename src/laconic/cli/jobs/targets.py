"""What `--target` of `laconic compress` does: time is that of a machine, and the file says how to run it there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from laconic.cli.console import Output
from laconic.cli.jobs.cost import Runnable, said_of
from laconic.csteps.costs import Time
from laconic.csteps.profile import Profile, Setting
from laconic.csteps.profile_file import load_profile
from laconic.deploy.costing import settings_of
from laconic.errors import DataError
from laconic.format.codes import DenseCode
from laconic.insight.ledger import LAYOUTS as KEY
from laconic.models.counting import counted
from laconic.models.params import Params, first_names, to_numpy
from laconic.models.uses import Use
from laconic.plans.plan import Plan
from laconic.plans.targets import retargeted, timed
from laconic.result import Result

_PRODUCTS = 4
"""Products that a weight may become where a plan has rows, for which a budget keeps room."""


@final
@dataclass(frozen=True)
class Target:
    """The machine that a network is compressed for.

    Args:
        profile: of it.
        uses: of each weight, under every name that the module has for it.
        reserved: metadata that a budget counts in the place of the layouts: those of dense weights; none without one.
    """

    profile: Profile
    uses: Mapping[str, Use]
    reserved: Mapping[str, str]

    @classmethod
    def of(cls, path: Path, network: Runnable, params: Params, plan: Plan | None, *, budget: bool) -> "Target":
        """Return the target whose profile is at ``path``.

        Args:
            path: of the profile.
            network: that is compressed.
            params: its weights.
            plan: whose rows may make several products of a weight.
            budget: whether the size of the file is asked for.

        Raises:
            PlanError: for a profile that is none.
            DataError: when the weights are not those of the network.
        """
        profile, uses = load_profile(path), counted(network.module, network.run, 1).uses()
        every = {name: uses[first] for name, first in first_names(network.module).items() if first in uses}
        dense = {name: DenseCode.of(to_numpy(tensor)) for name, tensor in params.items() if name in every}
        found = settings_of(dense, Time.of_profile(profile, every))
        if not found:
            raise DataError(f"--target {path}: the weights are not those of the network; {', '.join(uses)} are")
        copies = _PRODUCTS if plan is not None and plan.tensors else 1
        text = _text(profile, {name: copies * settings for name, settings in found.items()})
        return cls(profile, every, {KEY: text} if budget else {})

    def plan(self, plan: Plan | None) -> Plan | None:
        """Return a plan with prices in time by the profile."""
        return plan and retargeted(plan, self.profile, self.uses)

    def told(self, result: Result, say: Output) -> Result:
        """Return the result with the layouts, tiles and threads that are best for its codes in its metadata.

        Where they would take more of the file than a budget has kept for them they are left out.
        """
        codes = {name: code for name, code in result.codes.items() if name in self.uses}
        settings = settings_of(codes, Time.of_profile(self.profile, self.uses))
        found = replace(result, metadata={**result.metadata, KEY: _text(self.profile, settings)})
        if self.reserved and found.metadata != result.metadata and found.file_bytes > result.file_bytes:
            say.note(f"the layouts for {self.profile.name} are left out: they do not fit into what the budget kept")
            return replace(result, metadata={**result.metadata, KEY: "{}"})
        said = dict.fromkeys(said_of(setting) for several in settings.values() for setting in several)
        say.note(f"layouts for {self.profile.name} are in the file: {'; '.join(said)}")
        return found


def require_used(target: Path | None, plan: Plan | None) -> None:
    """Say that a price in time is one of a machine, before the work.

    Raises:
        DataError: when a row of the plan has one, and no machine is named.
    """
    if target is None and plan is not None and timed(plan):
        raise DataError(
            "a row of the plan has a price in time: name the machine, --target FILE; laconic profile measures this one"
        )


def _text(profile: Profile, settings: Mapping[str, tuple[Setting, ...]]) -> str:
    """Return the layouts as JSON: the machine, and (layout, tile, threads) of each product of each weight."""
    head = {"machine": profile.name, "runtime": profile.runtime, "version": profile.version}
    return json.dumps({**head, "weights": settings}, separators=(",", ":"))
