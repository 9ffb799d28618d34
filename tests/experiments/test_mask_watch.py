"""What is told of masks: flips, patterns, and the twin under shuffled gradients."""

from __future__ import annotations

import pytest
import torch

from mglubench.experiments.mask_watch import Watch, pattern_entropy
from mglubench.nn.swimglu import SwiMGLU


def test_entropy_of_patterns_by_hand():
    bits = torch.tensor([[[1, 1], [0, 0]], [[1, 0], [1, 0]]], dtype=torch.bool)
    assert pattern_entropy(bits) == 2.0
    assert pattern_entropy(bits[:, :, :1]) == 1.0
    assert pattern_entropy(bits[[0, 0]]) == 1.0
    assert pattern_entropy(torch.ones(3, 2, 2, dtype=torch.bool)) == 0.0


def test_flips_are_counted_from_the_last_mark_and_from_the_start():
    torch.manual_seed(0)
    layer = SwiMGLU(4, 5, 2)
    watch = Watch(layer, torch.Generator())
    with torch.no_grad():
        layer.masks[0, 0, 0] *= -1
    assert (watch.state([]).flipped, watch.state([]).moved) == (1 / 40, 1 / 40)
    watch.mark()
    with torch.no_grad():
        layer.masks[1, 2] *= -1
    assert (watch.state([]).flipped, watch.state([]).moved) == (4 / 40, 5 / 40)
    with torch.no_grad():
        layer.masks[1, 2] *= -1
    watch.mark()
    assert (watch.state([]).flipped, watch.state([]).moved) == (0, 1 / 40)


def test_the_twin_gets_the_gradients_of_the_masks_at_other_places():
    layer = SwiMGLU(4, 5, 2)
    layer.masks.grad = torch.arange(40.0).reshape(2, 5, 4)
    draw = torch.Generator()
    watch = Watch(layer, draw)
    draw.manual_seed(1)
    watch.shuffle()
    first = watch.twin.grad.clone()
    assert set(first.tolist()) <= set(range(40))
    assert first.tolist() != list(range(40))
    draw.manual_seed(1)
    watch.shuffle()
    assert torch.equal(first, watch.twin.grad)
    watch.shuffle()
    assert not torch.equal(first, watch.twin.grad)


def test_signs_that_gradients_agree_on_flip_more_than_the_twins():
    """Half of the logits are pushed up at every step, half down: nearly half flip. The twin's pushes cancel out."""
    torch.manual_seed(0)
    layer = SwiMGLU(32, 32, 1)
    watch = Watch(layer, torch.Generator().manual_seed(2))
    push = torch.ones_like(layer.masks)
    push[:, :16] = -1
    optimiser = torch.optim.AdamW([layer.masks, watch.twin], lr=3e-3, weight_decay=0)
    for _ in range(20):
        layer.masks.grad = push.clone()
        watch.shuffle()
        optimiser.step()
    state = watch.state([])
    assert state.moved > 0.43
    assert state.noise_moved < 0.38
    assert state.gate == [pytest.approx(0.5, abs=0.01)]


def test_fixed_masks_have_no_twin():
    state = Watch(SwiMGLU(4, 5, 2, masks="fixed"), torch.Generator()).state([])
    assert (state.noise_flipped, state.noise_moved, state.flipped) == (None, None, 0)
