"""Explorers: ipywidgets around pure functions. What a slider needs is made before it is shown."""

from eacbook.widgets.attention import AttentionExplorer
from eacbook.widgets.losses import LossExplorer
from eacbook.widgets.noise import NoiseExplorer

__all__ = ["AttentionExplorer", "LossExplorer", "NoiseExplorer"]
