"""Networks: backbones by name with their weights and preprocessing, heads.

Also ResNets, augmentation and frozen features.
"""

from helpers.models.augmentation import ACNE_AUGMENTATION, augmentation_layers
from helpers.models.backbones import (
    BACKBONES,
    PREPROCESSING,
    backbone,
    base_network,
    frozen_features,
    preprocessed,
    title,
    trainable,
    weights_identity,
)
from helpers.models.heads import (
    build_classifier,
    head_initializers,
    head_layers,
    unfreeze,
)
from helpers.models.resnet import (
    resnet18,
    resnet18_cifar,
    resnet20,
    resnet32,
    resnet34,
    small_resnet,
)
from helpers.models.stacked import stack
