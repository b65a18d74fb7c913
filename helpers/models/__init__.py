"""Networks: backbones by name with their weights and preprocessing, heads.

Also ResNets, augmentation, frozen features and saliency maps.
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
    POOLINGS,
    SpatialGate,
    attach,
    build_classifier,
    grad_cam,
    head_initializers,
    head_layers,
    head_on_maps,
    places_found,
    randomised,
    small_base,
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
