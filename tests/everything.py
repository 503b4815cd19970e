"""All that commands load on their way: a process that has imported this forks others that start at once (`forked.py`).

Nothing is trained here: PyTorch's autograd does not outlive a fork.
"""

import tempfile
from pathlib import Path

import sklearn.datasets
import torch._dynamo
import torch.nn.utils.stateless
import torch.optim

import laconic.experiments.demo
import laconic.lc.checkpoint
import laconic.lc.finetune
import laconic.lc.learning
import laconic.training.trainer  # noqa: F401
from laconic.cli import run
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of

torch.set_num_threads(1)
sklearn.datasets.load_digits()
with tempfile.TemporaryDirectory() as name:
    net, file = Path(name, "net.safetensors"), Path(name, "net.lac")
    save_checkpoint(net, params_of(nets.build("lenet300")), {"net": "lenet300", "data": "digits"})
    for number, options in enumerate((["--codebook", "2"], ["--keep", "0.1", "--codebook", "4"], ["--bits", "3"])):
        run(["compress", str(net), "-o", f"{file}{number}", *options, "--quiet"])
    run(["decompress", f"{file}1", "-o", f"{net}.again", "--quiet"])
