"""Trainings whose parts are not held together as their authors think."""

import torch
from torch import Tensor, nn

from sweeps.situations.blind.sets import pretrained
from sweeps.situations.common import classify
from sweeps.situations.data import Data, digits, images, split
from sweeps.situations.networks import mlp
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Eyes, Training, plain

UNHELD = "weights that no optimizer holds stay as they were drawn"


class Sorted(nn.Module):
    """Modules `encoder` and `head`; the three largest values of each feature over the rows are averaged."""

    def __init__(self, *, by_numpy: bool) -> None:
        super().__init__()
        self.by_numpy = by_numpy
        self.encoder, self.head = mlp((8, 32, 32)), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        if self.by_numpy:
            h = torch.from_numpy(h.detach().numpy())
        return self.head(h.sort(1).values[:, -3:].mean(1))


@register.fault(
    "pooling-in-numpy",
    source="PyTorch forum; own",
    codes={"TV204"},
    where=("encoder*",),
    remedies=("pool with torch",),
    certain="no gradient passes through an array",
)
def pooling_in_numpy(level: Level | None, seed: int) -> Training:
    """Features go through NumPy for a pooling that torch was thought not to have, and come back as leaves."""
    torch.manual_seed(seed)
    rows = digits()
    data = Data(rows.x.view(-1, 8, 8), rows.y, rows.x_test.view(-1, 8, 8), rows.y_test)
    model = Sorted(by_numpy=level is not None)
    return classify(model, data, seed, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


@register.fault(
    "unfrozen-behind-the-optimizer",
    source="own",
    codes={"TV305"},
    where=("conv*", "norm*"),
    onset=(60, 80),
    remedies=("add_param_group when layers are unfrozen",),
    certain=UNHELD,
)
def unfrozen_behind_the_optimizer(level: Level | None, seed: int) -> Training:
    """The backbone is unfrozen after 60 steps, but the optimizer was made of what needed gradients before."""
    torch.manual_seed(seed)
    model = pretrained()
    backbone = [p for n, p in model.named_parameters() if "head" not in n]
    for parameter in backbone:
        parameter.requires_grad = False
    optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.02, momentum=0.9)

    def iterate(training: Training, step: int, eyes: Eyes) -> Tensor:
        if step == 60:
            for parameter in backbone:
                parameter.requires_grad_()
            if level is None:
                optimizer.add_param_group({"params": backbone})
        return plain(training, step, eyes)

    return classify(model, images(), seed, optimizer=optimizer, iterate=iterate)


class Adversaries(nn.Module):
    """Modules `generator` and `critic`, for points in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = mlp((4, 32, 32, 2)), mlp((2, 32, 32, 1), act=lambda: nn.LeakyReLU(0.2))


@register.fault(
    "generator-without-optimizer",
    source="own",
    codes={"TV305"},
    where=("generator*",),
    remedies=("give the second optimizer the generator's parameters",),
    certain=UNHELD,
)
def generator_without_optimizer(level: Level | None, seed: int) -> Training:
    """The line of the critic's optimizer was copied for the generator's, with the parameters in it."""
    torch.manual_seed(seed)
    model = Adversaries()
    x = torch.tensor([2.0, -1.0]) + 0.8 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
    taught = model.generator if level is None else model.critic
    optimizers = tuple(
        torch.optim.Adam(m.parameters(), lr=3e-3, betas=(0.5, 0.99)) for m in (model.critic, taught)
    )

    def iterate(training: Training, step: int, _eyes: Eyes) -> Tensor:
        real, _ = training.batch(step)
        fake = model.generator(torch.randn(len(real), 4))
        for_critic = ((model.critic(real) - 1) ** 2).mean() + (model.critic(fake.detach()) ** 2).mean()
        optimizers[0].zero_grad()
        for_critic.backward()
        optimizers[0].step()
        for_generator = ((model.critic(fake) - 1) ** 2).mean()
        optimizers[1].zero_grad()
        for_generator.backward()
        optimizers[1].step()
        return for_critic.detach() + for_generator.detach()

    def score(_model: nn.Module) -> float:
        made = model.generator(torch.randn(500, 4, generator=torch.Generator().manual_seed(2)))
        return (made.mean(0) - x.mean(0)).norm().item() + (made.std(0) - x.std(0)).norm().item()

    return Training(
        model=model,
        optimizers=optimizers,
        batch=split(x, x).batches(64, seed),
        loss=lambda _model, batch: ((model.critic(batch[0]) - 1) ** 2).mean(),
        score=score,
        steps=400,
        iterate=iterate,
    )
