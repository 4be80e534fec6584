"""Images, as people train on them every day."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.sets import masks
from sweeps.situations.common import classify, loss_on_test, regress
from sweeps.situations.data import Data, images
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("resnet-cosine-augmented", source="own")
def resnet_cosine_augmented(seed: int) -> Training:
    """A small ResNet under Nesterov's momentum with weight decay and a cosine, on images that are shifted."""
    torch.manual_seed(seed)
    model = ResNet(12, 2)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    training = classify(model, images(), seed, optimizer=sgd, steps=250)
    training.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 250)
    usual = training.batch

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = usual(step)
        down, right = torch.randint(0, 3, (2,), generator=torch.Generator().manual_seed(step)).tolist()
        return F.pad(x, (1, 1, 1, 1), value=-0.8)[:, :, down : down + 8, right : right + 8], y

    training.batch = batch
    return training


@register.control("vgg-with-dropout", source="own")
def vgg_with_dropout(seed: int) -> Training:
    """Pairs of convolutions, pooling, and two wide layers with dropout of a half, under Adam."""
    torch.manual_seed(seed)
    net = nn.Sequential()
    for fan_in, width in ((1, 12), (12, 12)):
        net.append(nn.Conv2d(fan_in, width, 3, padding=1)).append(nn.BatchNorm2d(width)).append(nn.ReLU())
    net.append(nn.MaxPool2d(2)).append(nn.Conv2d(12, 24, 3, padding=1)).append(nn.ReLU()).append(
        nn.MaxPool2d(2)
    )
    net.append(nn.Flatten()).append(nn.Linear(96, 96)).append(nn.ReLU()).append(nn.Dropout(0.5))
    net.append(nn.Linear(96, 10))
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    return classify(net, images(), seed, optimizer=adam, size=48)


class UNet(nn.Module):
    """Modules `down`, `middle`, `up`, `last`, with a connection past the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.middle = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU()
        )
        self.up, self.last = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down(x)
        return self.last(torch.cat([first, self.up(self.middle(first))], 1))


@register.control("unet-segmentation", source="own")
def unet_segmentation(seed: int) -> Training:
    """A small U-Net with group norms tells which pixels belong to a shape, under AdamW."""
    torch.manual_seed(seed)
    model, data = UNet(), masks()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])

    adam = torch.optim.AdamW(model.parameters(), lr=3e-3)
    return regress(
        model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), size=16, steps=150
    )


@register.control("unet-says-the-noise", source="own")
def unet_says_the_noise(seed: int) -> Training:
    """The same net predicts the noise in an image, to be subtracted, by the mean absolute error."""
    torch.manual_seed(seed)
    model, clean = UNet(), images()
    draw = torch.Generator().manual_seed(81)
    noise, noise_test = (0.5 * torch.randn(x.shape, generator=draw) for x in (clean.x, clean.x_test))
    data = Data(clean.x + noise, noise, clean.x_test + noise_test, noise_test)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.l1_loss(model(batch[0]), batch[1])

    adam = torch.optim.AdamW(model.parameters(), lr=5e-3)
    return regress(model, data, seed, optimizer=adam, loss=loss, score=loss_on_test(data, loss), size=32)
