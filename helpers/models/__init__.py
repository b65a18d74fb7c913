"""Networks: backbones by name with their weights and preprocessing, heads.

Also ResNets, attention, frozen features and saliency maps.
"""

from helpers.models.attention import (
    POOLINGS,
    SpatialGate,
    attach,
    head_on_maps,
    small_base,
)
from helpers.models.augmentation import (
    ACNE_AUGMENTATION,
    augmentation_layers,
)
from helpers.models.backbones import (
    BACKBONES,
    PREPROCESSING,
    backbone,
    base_network,
    costs,
    depth_widths,
    preprocessed,
    title,
    trainable,
    weights_identity,
)
from helpers.models.features import frozen_features
from helpers.models.layers import (
    build_classifier,
    freeze_batch_normalization,
    head_initializers,
    head_layers,
    set_batch_normalization_momentum,
)
from helpers.models.resnet import (
    resnet18,
    resnet18_cifar,
    resnet34,
    small_resnet,
)
from helpers.models.saliency import (
    grad_cam,
    places_found,
    randomised,
)
from helpers.models.stacked import stack
