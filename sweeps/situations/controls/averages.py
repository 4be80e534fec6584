"""Weights that are moved beside the step: ascents, averages, jumps back."""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.loops import every, follow
from sweeps.situations.networks import Cnn, mlp
from sweeps.situations.recipes import validation
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


@register.control("sharpness-aware", source="H44")
def sharpness_aware(seed: int) -> Training:
    """SAM: a step up to worse weights, the gradient there, and back before the true step."""
    torch.manual_seed(seed)

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        model, batch, parameters = training.model, training.batch(step), list(training.model.parameters())
        loss = training.loss(model, batch)
        training.optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            moves = [0.05 * p.grad / (norm + 1e-12) for p in parameters if p.grad is not None]
            for parameter, move in zip(parameters, moves, strict=True):
                parameter.add_(move)
        training.optimizer.zero_grad()
        training.loss(model, batch).backward()
        with torch.no_grad():
            for parameter, move in zip(parameters, moves, strict=True):
                parameter.sub_(move)
        training.optimizer.step()
        return loss

    return classify(mlp((64, 64, 64, 10)), digits(), seed, lr=0.05, iterate=iterate)


@register.control("lookahead", source="H44")
def lookahead(seed: int) -> Training:
    """Every fifth step the weights jump half of the way back to where they were five steps ago."""
    torch.manual_seed(seed)
    model = Cnn()
    slow = copy.deepcopy(model)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = every(training, step, eyes)
        if (step + 1) % 5 == 0:
            follow(slow, model, 0.5)
            model.load_state_dict(slow.state_dict())
        return loss

    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classify(model, images(), seed, optimizer=adam, iterate=iterate, steps=250)


@register.control("averaged-weights", source="H44")
def averaged_weights(seed: int) -> Training:
    """Validation and score are of a moving average that is swapped in, and out again afterwards."""
    torch.manual_seed(seed)
    data, model = digits(), mlp((64, 64, 64, 10))
    average = AveragedModel(model, avg_fn=lambda slow, fast, _n: slow.lerp(fast, 0.05))

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        loss = every(training, step, eyes)
        average.update_parameters(training.model)
        return loss

    def validate(model: nn.Module) -> float:
        kept = copy.deepcopy(model.state_dict())
        model.load_state_dict(average.module.state_dict())
        loss = validation(data)(model)
        model.load_state_dict(kept)
        return loss

    return classify(model, data, seed, lr=0.05, iterate=iterate, validate=validate)
