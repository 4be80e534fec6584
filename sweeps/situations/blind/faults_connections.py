"""Transformers of which a part is connected to nothing."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeps.situations.blind.faults_transformers import encoder
from sweeps.situations.common import classify, cross_entropy
from sweeps.situations.data import images, split
from sweeps.situations.recipes import speak
from sweeps.situations.situation import Level, register
from sweeps.situations.training import Training


class Reverser(nn.Module):
    """Modules `letters`, `places`, `encoder`, `decoder`, `head`."""

    def __init__(self, *, alone: bool) -> None:
        super().__init__()
        self.alone = alone
        self.letters, self.places = nn.Embedding(9, 32), nn.Embedding(8, 32)
        self.encoder, self.head = encoder(depth=1), nn.Linear(32, 9)
        layer = nn.TransformerDecoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        source, target = (self.letters(t) + self.places(torch.arange(8)) for t in tokens.unbind(1))
        memory = self.encoder(source)
        mask = nn.Transformer.generate_square_subsequent_mask(8)
        return self.head(
            self.decoder(
                target,
                target if self.alone else memory,
                tgt_mask=mask,
                memory_mask=None if not self.alone else mask,
            )
        )


@register.fault(
    "decoder-without-memory",
    source="own",
    codes={"TV204"},
    where=("encoder*",),
    remedies=("give the decoder the encoder's output",),
    certain="what is read from an encoder that is not connected cannot be said again",
)
def decoder_without_memory(level: Level | None, seed: int) -> Training:
    """The decoder is given its own input in place of the encoder's output, and has to reverse what it never
    sees.
    """
    torch.manual_seed(seed)
    source = torch.randint(1, 9, (1500, 8), generator=torch.Generator().manual_seed(71))
    target = source.flip(1)
    data = split(torch.stack([source, F.pad(target, (1, 0))[:, :-1]], 1), target)
    model = Reverser(alone=level is not None)
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    return speak(model, seed, data=data, optimizer=adam, size=64, loss=cross_entropy)


class Patches(nn.Module):
    """Modules `patch`, `token`, `encoder`, `head`."""

    def __init__(self, *, early: bool) -> None:
        super().__init__()
        self.early = early
        self.patch, self.encoder, self.head = nn.Linear(4, 32), encoder(), nn.Linear(32, 10)
        self.token, self.places = (
            nn.Parameter(0.1 * torch.randn(1, 1, 32)),
            nn.Parameter(0.1 * torch.randn(1, 17, 32)),
        )

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, 2, stride=2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(x), -1, -1), self.patch(patches)], 1) + self.places
        out = self.encoder(h)
        return self.head((h if self.early else out)[:, 0])


@register.fault(
    "class-token-before-the-encoder",
    source="own",
    codes={"TV204", "TV103"},
    where=("encoder*", "patch*", "head"),
    remedies=("read the class token from the encoder's output",),
    certain="a class token that has met no patch is the same for all images",
)
def class_token_before_the_encoder(level: Level | None, seed: int) -> Training:
    """The head reads the class token from the encoder's input instead of its output."""
    torch.manual_seed(seed)
    model = Patches(early=level is not None)
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3)
    return classify(model, images(), seed, optimizer=adam, size=32)
