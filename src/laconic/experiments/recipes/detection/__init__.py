"""Detectors: what they cost, counted beside what is printed; and a small one, trained and compressed.

Source: Sandler, Howard, Zhu, Zhmoginov & Chen, MobileNetV2, CVPR 2018, section 6.2, tables 5 and 6.
"""

from laconic.experiments.recipes.detection import compressed, counts
from laconic.experiments.recipes.recipe import Recipe

RECIPES = (
    Recipe(
        "detection-counts",
        "parameters and multiply-adds of SSD, SSDLite and YOLOv2, counted, beside tables 5 and 6 of MobileNetV2",
        counts.SOURCE,
        "nothing",
        "seconds",
        counts.run,
    ),
    Recipe(
        "detection",
        "a small SSDLite on discs, squares and triangles: mAP as trained, and at 4 and 3 bits",
        counts.SOURCE,
        "nothing",
        "ten minutes on one core (--fast: a minute, and no detector to speak of)",
        compressed.run,
    ),
)
