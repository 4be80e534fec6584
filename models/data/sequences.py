"""Without this file no data would ask a network to carry something over many steps."""

from typing import Any, ClassVar

import torch

from models.data.base import InMemoryData
from models.data.batches import Examples
from models.errors import require_count
from models.seeding import generator
from models.tasks import IGNORED


class Copy(InMemoryData):
    """Repeat `length` symbols after a wait of `delay` steps (Hochreiter & Schmidhuber 1997;
    arXiv:1511.06464).

    Token ids: 0 is blank, 1 .. symbols are the symbols, symbols + 1 says "now". An example has 2 * length +
    delay steps: the symbols, blanks that end in "now", blanks. Only the last `length` positions are scored,
    so guessing gives an accuracy of 1 / symbols.
    """

    task: ClassVar[str] = "multiclass"
    standardise_inputs: ClassVar[bool] = False
    per_position = True

    def __init__(
        self,
        *,
        symbols: int = 8,
        length: int = 5,
        delay: int = 10,
        samples: int = 2000,
        seed: int = 0,
        **split: Any,
    ) -> None:
        super().__init__(seed=seed, **split)
        for field, value in (
            ("symbols", symbols),
            ("length", length),
            ("delay", delay),
            ("samples", samples),
        ):
            require_count(field, value=value, minimum=1)
        self.symbols, self.length, self.delay, self.samples = symbols, length, delay, samples
        self.in_shape = (2 * length + delay,)
        self.vocab_size = symbols + 2
        self.out_features = symbols + 2

    def load(self) -> Examples:
        noise = generator(self.seed, "copy")
        symbols = torch.randint(1, self.symbols + 1, (self.samples, self.length), generator=noise)
        x = torch.zeros(self.samples, *self.in_shape, dtype=torch.int64)
        x[:, : self.length] = symbols
        x[:, self.length + self.delay - 1] = self.symbols + 1
        y = torch.full_like(x, IGNORED)
        y[:, -self.length :] = symbols
        return Examples(x, y)


class Adding(InMemoryData):
    """Add the two marked numbers of a sequence (Hochreiter & Schmidhuber 1997).

    Inputs are (steps, 2): a number from U(0, 1) and a mark, 1 at one step of each half and 0 elsewhere. The
    target is the sum of the marked numbers; always answering 1 has a mean squared error of 1/6.
    """

    task: ClassVar[str] = "regression"
    standardise_inputs: ClassVar[bool] = False
    out_features = 1

    def __init__(self, *, steps: int = 30, samples: int = 2000, seed: int = 0, **split: Any) -> None:
        super().__init__(seed=seed, **split)
        require_count("steps", value=steps, minimum=2)
        require_count("samples", value=samples, minimum=1)
        self.steps, self.samples = steps, samples
        self.in_shape = (steps, 2)

    def load(self) -> Examples:
        noise, half = generator(self.seed, "adding"), self.steps // 2
        numbers = torch.rand(self.samples, self.steps, generator=noise)
        first = torch.randint(0, half, (self.samples, 1), generator=noise)
        second = torch.randint(half, self.steps, (self.samples, 1), generator=noise)
        marks = torch.zeros_like(numbers).scatter_(1, torch.cat([first, second], dim=1), 1.0)
        return Examples(torch.stack([numbers, marks], dim=2), (numbers * marks).sum(dim=1, keepdim=True))


class ModularArithmetic(InMemoryData):
    """(a + b) mod `modulus` for all pairs, as in the work on grokking (arXiv:2201.02177).

    Token ids (a, b, "="), where "=" is `modulus`; the answer is read at the last position. The pairs are all
    there are, so the validation and test parts hold sums that were never shown.
    """

    task: ClassVar[str] = "multiclass"
    standardise_inputs: ClassVar[bool] = False
    in_shape = (3,)

    def __init__(self, *, modulus: int = 31, **split: Any) -> None:
        super().__init__(**split)
        require_count("modulus", value=modulus, minimum=3)
        self.modulus = modulus
        self.vocab_size = modulus + 1
        self.out_features = modulus

    def load(self) -> Examples:
        pairs = torch.cartesian_prod(torch.arange(self.modulus), torch.arange(self.modulus))
        equals = torch.full((len(pairs), 1), self.modulus)
        return Examples(torch.cat([pairs, equals], dim=1), pairs.sum(dim=1) % self.modulus)
