"""Weights for encoders, drawn at random."""

import math

import torch


def fill(module, seed=0):
    """Weights that keep signals about as strong as they came; statistics unlike the defaults."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith('running_var') or value.ndim == 1 and name.endswith('weight'):
            value.uniform_(0.7, 1.4, generator=generator)
        elif value.ndim == 1:
            value.normal_(0, 0.1, generator=generator)
        elif value.ndim:
            value.normal_(0, math.sqrt(2 / value[0].numel()), generator=generator)
    return module.eval()


def arrays(module):
    """All of a module's weights and statistics by name, as float64 arrays."""
    return {name: value.double().numpy() for name, value in module.state_dict().items()}
