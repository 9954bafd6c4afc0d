"""The training loop: read it from top to bottom.

Every random stream (order of the batches, camera noise, erasing of each view, mirroring, dropout) has
its own generator. A new one is made for every epoch from (seed, stream, epoch). So two methods see the
same streams, even if they use different parts of them. And a run that was killed continues as if it had
not been killed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from eacbook.data.faces import FaceData
from eacbook.devices import deterministic_algorithms, use_threads
from eacbook.methods import Method
from eacbook.noise.labels import NoisyLabels
from eacbook.training import distributed
from eacbook.training.checkpoint import Checkpoint, say_what_is_kept
from eacbook.training.guards import check_finite
from eacbook.training.hooks import Hook, built_in_hooks
from eacbook.training.optimizer import layer_randomness, mixed_precision
from eacbook.training.setup import set_up
from eacbook.training.state import Run, Training


def train(
    method: Method,
    network: nn.Module,
    faces: FaceData,
    noisy: NoisyLabels,
    *,
    device: str | torch.device | None = None,
    hooks: Sequence[Hook] = (),
    **recipe: Any,
) -> Run:
    """Train a copy of ``network``; the network itself keeps its weights.

    Args:
        method: e.g. ``EAC()``; without a weight it takes the default weight of the network.
        network: returns ``(logits, maps)``, as networks from :func:`eacbook.build_network` do.
        faces: training and test faces.
        noisy: labels of the training faces, as from :func:`eacbook.inject_noise`.
        device: None takes CUDA or MPS if there is one, else the CPU.
        hooks: called at the start, after each batch, after each epoch and at the end. They are called in
            this order, after the built-in hooks. A checkpoint is called first at the start. Later it is
            called last, so that it saves the results of the other hooks. See
            :mod:`eacbook.training.hooks`.
        **recipe: fields of :class:`eacbook.training.recipe.Recipe` that replace the defaults of the
            network: epochs, learning_rate, seed, ...

    Raises:
        InputError: an argument is out of range or does not fit the faces.
        NonFiniteLossError: the loss became infinite or not a number.
        KeyboardInterrupt: the training was interrupted (Ctrl-C, or the stop button of the kernel), so a
            notebook stops there, too. The message says how many epochs are saved. They are saved if a
            :class:`eacbook.training.checkpoint.Checkpoint` is among the hooks; then the same call
            continues from its file. :func:`eacbook.experiments.runs.find_or_train` adds one.
    """
    training = set_up(method, network, faces, noisy, device, hooks, recipe)
    checkpoints = [hook for hook in hooks if isinstance(hook, Checkpoint)]
    others = [*built_in_hooks(), *(hook for hook in hooks if hook not in checkpoints)]
    hooks = [*others, *checkpoints]
    with contextlib.ExitStack() as endings:
        if training.recipe.deterministic:
            endings.enter_context(deterministic_algorithms(training.device))
        # A checkpoint starts first, so that the other hooks see the epoch at which it continues.
        for hook in [*checkpoints, *others]:
            endings.callback(hook.on_train_end, training)
            hook.on_train_begin(training)
        endings.enter_context(use_threads(training.threads))
        learner = distributed.wrap_for_training(training.network)
        try:
            while training.epoch < training.recipe.epochs and not training.stop:
                train_one_epoch(training, learner, hooks)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(say_what_is_kept(training, checkpoints)) from None
    return training.to_run()


def train_one_epoch(training: Training, learner: nn.Module, hooks: Sequence[Hook]) -> None:
    """One epoch: a step on every batch, then the method and the hooks are called.

    Args:
        training: its network, method, optimizer and scheduler are used and changed.
        learner: the network, or its wrapped version if several processes train.
        hooks: called after each batch and after the epoch.
    """
    started = time.perf_counter()
    method, optimizer, scheduler = training.method, training.optimizer, training.scheduler
    training.begin_epoch()
    distributed.broadcast_weights(training.network)
    learner.train()
    with layer_randomness(training.recipe.seed, training.epoch, training.device):
        for batch in training.batches():
            with mixed_precision(training.device, training.recipe.precision):
                losses = method.loss(learner, batch)
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
            scheduler.step()
            training.collect(batch, losses)
            for hook in hooks:
                hook.on_batch_end(training)
    check_finite(training)
    method.on_epoch_end(training.network, training.epoch, training.samples, training.labels)
    training.row["seconds"] = time.perf_counter() - started
    for hook in hooks:
        hook.on_epoch_end(training)
    training.stop = distributed.broadcast_flag(training.stop)
    training.end_epoch()
