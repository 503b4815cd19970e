"""ResNet-20 and VGG-16 on CIFAR-10: what is run, and what others have reached.

The small scale is for a processor: 10,000 images an epoch, others in each, and some 30 epochs a file, in batches so
small that an epoch is an L step. The full scale has the schedules of Idelbayev & Carreira-Perpiñán 2020 ("Low-rank
compression of neural nets: learning the rank of each layer", CVPR): number and length of L steps, and the training of
VGG-16. μ, its growth, rates and clipping are ours at both, for their C step is another.
"""

from dataclasses import replace

from laconic.experiments.recipes.records.mnist import ALIKE
from laconic.experiments.recipes.records.subject import Effort, Published, Subject
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.training.clipping import SHARE
from laconic.training.optimization import Optimization

_AUGMENTED = "crop and flip"


def _learning(steps: int, epochs: int, tuned: int, *, mu: float, growth: float, lr: float, decay: float) -> Training:
    """Return LC by SGD with clipped gradients."""
    return Training(
        steps=steps, l_step=Optimization(epochs, lr, clip=SHARE), mu=mu, growth=growth, decay=decay, tolerance=0.003,
        finetune=replace(FINE_TUNING, epochs=tuned, lr=1e-4), alike=ALIKE,
    )  # fmt: skip


def falling(progress: float) -> float:
    """Return the factor of the learning rate of VGG-16: 0.97716 an epoch, of 300.

    >>> round(falling(0.5), 4), round(falling(1.0), 4)
    (0.0313, 0.001)
    """
    return float(0.97716 ** (300 * progress))


def _vgg_reference(epochs: int) -> Optimization:
    """Return the training of the reference: their loss has 5e-4 Σ w², without a half."""
    return Optimization(epochs, 0.05, falling, weight_decay=1e-3)


_SLIDES = "Carreira-Perpiñán, Model compression as constrained optimization, slides"
_SGD = "SGD, Nesterov momentum 0.9, rate 0.97716 an epoch of 300"
_SMALL = _learning(25, 1, 5, mu=2e-3, growth=1.1, lr=0.03, decay=0.97)

RESNET20 = Subject(
    net="resnet20",
    title="ResNet-20",
    data="cifar10",
    forward=None,
    published=(
        Published("LC, 4 values a layer, ×15 as counted", 71_926, None, _SLIDES, "about no loss"),
        Published("LC, 2 values a layer, ×26 as counted", 41_496, None, _SLIDES, "some loss"),
    ),
    aims=((35_962, 8.77), (53_944, 8.27)),
    full=Effort(
        None, (53_944, 35_962), _learning(50, 15, 20, mu=3e-4, growth=1.1, lr=0.03, decay=0.97), 3, augment=_AUGMENTED
    ),
    small=Effort(None, (53_944, 35_962), _SMALL, 1, batch=25, images=10_000, augment=_AUGMENTED),
    weights="models/resnet20_cifar10.safetensors",
    note=(
        "The reference is the published ResNet-20 of Idelbayev, with 8.27 % on the test images. It was trained on all "
        "50,000 training images, those of the validation split too: errors there are too low at the beginning of a "
        "path, and choices made by them favour its first points. Aims are 30 times below 4 bytes a parameter within "
        "half a point of it, and 20 times without a loss."
    ),
)

VGG16 = Subject(
    net="vgg16",
    title="VGG-16",
    data="cifar10",
    forward=None,
    published=(
        Published("MIRACLE", 417_000, 6.57, "Havasi, Peharz & Hernández-Lobato 2019, as corrected"),
        Published("MIRACLE", 168_000, 10.0, "the same"),
        Published("LilNetX", 129_000, 7.4, "Girish et al. 2023"),
        Published("EPR", 101_000, 10.0, "Oktay, Ballé, Singh & Shrivastava 2020"),
        Published("LilNetX", 76_000, 10.0, "Girish et al. 2023"),
    ),
    aims=((120_000, 7.4),),
    full=Effort(
        _vgg_reference(300), (76_000, 120_000), _learning(60, 15, 20, mu=1e-4, growth=1.1, lr=0.03, decay=0.97), 3,
        optimizer=_SGD, augment=_AUGMENTED,
    ),
    small=Effort(
        _vgg_reference(30), (120_000,), _SMALL, 1, optimizer=_SGD, batch=25, images=10_000, augment=_AUGMENTED
    ),
)  # fmt: skip
