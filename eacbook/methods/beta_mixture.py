"""A mixture of two Beta distributions, fitted by expectation and maximisation.

The maximisation uses moments: a component gets the mean and the variance of its samples (Arazo et al.,
ICML 2019, *Unsupervised label noise modeling*). A mixture is a tensor float64 ``[2,3]``: for each
component alpha, beta and its share of the samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS, CLIP, PLACES = 10, 1e-4, 1001
START = ((1.0, 2.0, 0.5), (2.0, 1.0, 0.5))
SMALLEST_VARIANCE = 1e-6


def fit_beta_mixture(values: Tensor) -> Tensor:
    """The mixture after 10 steps, float64 ``[2,3]``.

    Args:
        values: ``[N]``, 0 to 1; they are clipped to 1e-4 and 1 - 1e-4, where the density is finite.
    """
    values = values.double().clamp(CLIP, 1 - CLIP)
    mixture = torch.tensor(START, dtype=torch.float64)
    for _ in range(STEPS):
        weights = (log_densities(values, mixture)).softmax(0)
        total = weights.sum(1).clamp(min=CLIP)
        mean = (weights * values).sum(1) / total
        variance = (weights * (values - mean[:, None]) ** 2).sum(1) / total
        # A Beta distribution has a variance below mean (1 - mean).
        variance = variance.clamp(min=SMALLEST_VARIANCE)
        size = (mean * (1 - mean) / variance - 1).clamp(min=CLIP)
        mixture = torch.stack([mean * size, (1 - mean) * size, total / total.sum()], 1)
    return mixture


def log_densities(values: Tensor, mixture: Tensor) -> Tensor:
    """log(share * density) of each component, ``[2,...]``; values inside (0, 1)."""
    alpha, beta, share = (part.view(2, *[1] * values.dim()) for part in mixture.unbind(1))
    return (
        share.log()
        + (alpha - 1) * values.log()
        + (beta - 1) * (1 - values).log()
        + torch.lgamma(alpha + beta)
        - torch.lgamma(alpha)
        - torch.lgamma(beta)
    )


def probability_of_larger(values: Tensor, mixture: Tensor) -> Tensor:
    """The probability that each value is from the component with the larger mean.

    A wide component can win again near 1. So the probability is held at its maximum for all values above
    the place of the maximum.

    Args:
        values: any shape, 0 to 1.
        mixture: ``[2,3]``.
    """
    mixture = mixture.to(values)
    larger = (mixture[:, 0] / mixture[:, :2].sum(1)).argmax().view(1)

    def of_larger(places: Tensor) -> Tensor:
        # Indexing with square brackets would wait for a GPU.
        return log_densities(places, mixture).softmax(0).index_select(0, larger).squeeze(0)

    grid = torch.linspace(CLIP, 1 - CLIP, PLACES, dtype=values.dtype, device=values.device)
    best = grid.index_select(0, of_larger(grid).argmax().view(1))
    return of_larger(torch.minimum(values.clamp(CLIP, 1 - CLIP), best))
