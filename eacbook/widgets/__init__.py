"""Explorers: pictures that follow controls. What a slider needs is made before it is shown."""

from eacbook.widgets.attention import AttentionExplorer
from eacbook.widgets.features import FeatureExplorer
from eacbook.widgets.losses import LossExplorer
from eacbook.widgets.noise import NoiseExplorer

__all__ = ["AttentionExplorer", "FeatureExplorer", "LossExplorer", "NoiseExplorer"]
