"""Reference networks, with the names and layouts of their published checkpoints."""

from laconic.models.nets.efficientnet_lite import EfficientNetLite1
from laconic.models.nets.identity import check_identity, identity, preprocessing_of
from laconic.models.nets.lenet import LeNet5, LeNet300
from laconic.models.nets.mlp import MLP256
from laconic.models.nets.mobilenet_v1 import MobileNetV1
from laconic.models.nets.mobilenet_v2 import MobileNetV2
from laconic.models.nets.resnet import ResNet
from laconic.models.nets.ssd import Detector
from laconic.models.nets.vgg import VGG16
from laconic.models.nets.zoo import NETS, Net, build

__all__ = [
    "MLP256",
    "NETS",
    "VGG16",
    "Detector",
    "EfficientNetLite1",
    "LeNet5",
    "LeNet300",
    "MobileNetV1",
    "MobileNetV2",
    "Net",
    "ResNet",
    "build",
    "check_identity",
    "identity",
    "preprocessing_of",
]
