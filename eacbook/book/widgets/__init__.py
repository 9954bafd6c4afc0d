"""Explorers: pictures that follow controls. The data for a slider are computed before it is shown."""

from eacbook.book.widgets.attention import AttentionExplorer
from eacbook.book.widgets.convolution import ConvolutionExplorer
from eacbook.book.widgets.features import FeatureExplorer
from eacbook.book.widgets.losses import LossExplorer
from eacbook.book.widgets.noise import NoiseExplorer
from eacbook.book.widgets.softmax import SoftmaxExplorer

__all__ = [
    "AttentionExplorer",
    "ConvolutionExplorer",
    "FeatureExplorer",
    "LossExplorer",
    "NoiseExplorer",
    "SoftmaxExplorer",
]
