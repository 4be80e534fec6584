"""Parts that rightly get no gradient, are in no optimizer, or take turns."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.common import classify
from sweeps.situations.data import digits, images
from sweeps.situations.networks import mlp
from sweeps.situations.residual import Residual, ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Eyes, Training


@register.control("alternating-heads", source="H42")
def alternating_heads(seed: int) -> Training:
    """Two tasks take turns: each step only one of the heads gets a gradient."""
    torch.manual_seed(seed)

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = mlp((64, 64, 64))
            self.heads = nn.ModuleList([nn.Linear(64, 10), nn.Linear(64, 2)])

        def forward(self, x: Tensor, task: int = 0) -> Tensor:
            return self.heads[task](F.relu(self.trunk(x)))

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x, y = training.batch(step)
        task = step % 2
        loss = F.cross_entropy(training.model(x, task), y if task == 0 else y % 2)
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        return loss

    model = Heads()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classify(model, digits(), seed, optimizer=adam, iterate=iterate, steps=300)


@register.control("stochastic-depth", source="own")
def stochastic_depth(seed: int) -> Training:
    """Residual blocks are left out at random, and are without a gradient in these steps."""
    torch.manual_seed(seed)

    class Dropped(ResNet):
        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.norm(self.stem(x)))
            for block in self.blocks:
                assert isinstance(block, Residual)
                if not self.training:
                    x = F.relu(x + 0.8 * block.branch(x))
                elif torch.rand(()) < 0.8:
                    x = block(x)
            return self.head(x.mean((2, 3)))

    return classify(Dropped(depth=4), images(), seed, lr=0.05)


@register.control("forward-forward", source="H57")
def forward_forward(seed: int) -> Training:
    """Each layer has a loss and an optimizer of its own, and no gradient passes between layers."""
    torch.manual_seed(seed)
    model = nn.ModuleList([nn.Linear(74, 128), nn.Linear(128, 128)])
    optimizers = tuple(torch.optim.Adam(layer.parameters(), lr=5e-3) for layer in model)
    data = digits()

    def marked(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, 2 * F.one_hot(y, 10).float()], 1)

    def layers(x: Tensor) -> list[Tensor]:
        """What each layer makes of the direction, not the length, of the one before."""
        outs = []
        for layer in model:
            x = F.relu(layer(F.normalize(x.detach()) * x.shape[1] ** 0.5))
            outs.append(x)
        return outs

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        x, y = training.batch(step)
        false = (y + torch.randint(1, 10, y.shape)) % 10
        total = torch.zeros(())
        for right, wrong, optimizer in zip(
            layers(marked(x, y)), layers(marked(x, false)), optimizers, strict=True
        ):
            good, bad = right.square().mean(1) - 1, wrong.square().mean(1) - 1
            loss = (F.softplus(-4 * good) + F.softplus(4 * bad)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total = total + loss.detach()
        return total

    def score(_model: nn.Module) -> float:
        n = len(data.x_test)
        each = [layers(marked(data.x_test, torch.full((n,), k))) for k in range(10)]
        goodness = torch.stack([sum((h.square().mean(1) for h in hs), torch.zeros(n)) for hs in each], 1)
        return (goodness.argmax(1) != data.y_test).float().mean().item()

    return Training(
        model=model,
        optimizers=optimizers,
        batch=data.batches(128, seed),
        loss=lambda _model, batch: layers(marked(*batch))[-1].mean(),
        score=score,
        steps=400,
        iterate=iterate,
    )
