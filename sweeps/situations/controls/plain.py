"""Trainings that any textbook shows, of the networks on which the others build."""

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sweeps.situations.common import classify, regress, squared_error
from sweeps.situations.data import cancer, diabetes, digits, images, teacher
from sweeps.situations.networks import Cnn, Gpt, Lstm, mlp
from sweeps.situations.recipes import speak, validation
from sweeps.situations.residual import ResNet
from sweeps.situations.situation import register
from sweeps.situations.training import Training


@register.control("plain-mlp", source="H24")
def plain_mlp(seed: int) -> Training:
    """A digits MLP under SGD with momentum, right on more than 95 % of the data kept aside."""
    torch.manual_seed(seed)
    data = digits()
    return classify(mlp((64, 64, 64, 10)), data, seed, validate=validation(data))


@register.control("plain-mlp-torch-init", source="own")
def plain_mlp_torch_init(seed: int) -> Training:
    """Three ReLU layers left to torch's own initialisation, under Adam with its own learning rate
    of 0.001.
    """
    torch.manual_seed(seed)
    model = mlp((64, 64, 64, 64, 10), init=None)
    return classify(model, digits(), seed, optimizer=torch.optim.Adam(model.parameters()), steps=300)


@register.control("plain-cnn", source="own")
def plain_cnn(seed: int) -> Training:
    """A small CNN without normalisation, under Adam."""
    torch.manual_seed(seed)
    model = Cnn()
    return classify(model, images(), seed, optimizer=torch.optim.Adam(model.parameters(), lr=5e-3))


@register.control("plain-cnn-batch-norm", source="own")
def plain_cnn_batch_norm(seed: int) -> Training:
    """A small CNN with batch normalisation, whose convolutions kept their needless biases."""
    torch.manual_seed(seed)
    return classify(Cnn(norm=True), images(), seed, lr=0.05)


@register.control("plain-resnet", source="H25")
def plain_resnet(seed: int) -> Training:
    """A small ResNet as its authors trained theirs: SGD at a learning rate of 0.1, momentum 0.9, weight
    decay.
    """
    torch.manual_seed(seed)
    model = ResNet()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    return classify(model, images(), seed, optimizer=sgd, scheduler=CosineAnnealingLR(sgd, 200))


@register.control("plain-gpt", source="H17")
def plain_gpt(seed: int) -> Training:
    """A small pre-norm transformer under AdamW: gradients of norms and matrices are of very
    different sizes.
    """
    torch.manual_seed(seed)
    model = Gpt()
    return speak(model, seed, optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01))


@register.control("plain-lstm", source="own")
def plain_lstm(seed: int) -> Training:
    """An LSTM language model under Adam."""
    torch.manual_seed(seed)
    return speak(Lstm(), seed, lr=1e-2)


@register.control("logistic-regression", source="own")
def logistic_regression(seed: int) -> Training:
    """A single linear layer for two classes under plain SGD."""
    torch.manual_seed(seed)
    model = nn.Linear(30, 2)
    return classify(model, cancer(), seed, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


@register.control("linear-regression-from-zero", source="own")
def linear_regression_from_zero(seed: int) -> Training:
    """A single linear layer whose weights begin at 0, where its problem is convex and all is well."""
    torch.manual_seed(seed)
    model = nn.Linear(16, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return regress(model, teacher(), seed, optimizer=torch.optim.SGD(model.parameters(), lr=0.05))


@register.control("plain-regression", source="own")
def plain_regression(seed: int) -> Training:
    """The squared error of an MLP on standardised targets, under Adam."""
    torch.manual_seed(seed)
    model, data = mlp((16, 64, 64, 1)), teacher()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regress(model, data, seed, optimizer=adam, steps=300, validate=validation(data, squared_error))


@register.control("noisy-regression", source="own")
def noisy_regression(seed: int) -> Training:
    """Half of the variance of the targets is noise, so that the loss soon stays where it is."""
    torch.manual_seed(seed)
    model = mlp((10, 8, 1))
    sgd = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=1e-3)
    return regress(model, diabetes(), seed, optimizer=sgd, size=32, steps=300)
