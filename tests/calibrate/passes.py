"""A pass over a small network."""

from small_nets import net

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.network import Network, silent
from laconic.calibrate.rates import expected_counts
from laconic.calibrate.sequence import Calibrated, level_of, passed
from laconic.format.coding.fitting import smoothed_costs
from laconic.models.params import all_params_of
from laconic.models.ties import untied

HOW = TRIES["fast"][0]


def one_pass(name: str, bits: float, seed: int = 0) -> tuple[Network, Calibrated]:
    """A network, and what a pass at so many bits a weight makes of it."""
    module, samples = net(name, seed)
    params = {key: tensor.detach() for key, tensor in all_params_of(module).items()}
    network = Ready.of(untied(params, module), Calibration.of(module, samples)).network
    wanted = bits * sum(params[subject.name].numel() for subject in network.subjects)
    level = level_of(network.subjects, {}, wanted)
    return network, passed(network, level, wanted, smoothed_costs(expected_counts(HOW.nu)), HOW, silent, {})
