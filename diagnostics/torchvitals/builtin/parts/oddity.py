"""What can be odd about the scale of data, and how it is told."""

from dataclasses import dataclass

from torchvitals.core.finding import Remedy

INPUTS = Remedy("Standardise the inputs: mean 0 and standard deviation 1 a feature.")
NORM = Remedy("Or begin the net with a normalisation.", ("model.norm=batch",))
TARGETS = Remedy("Standardise the targets, and scale predictions back.")


@dataclass(frozen=True)
class Oddity:
    """One thing about the scale of the data."""

    kind: str
    """"input", "small", "column" or "target" """
    where: str
    size: float
    since: int

    @property
    def message(self) -> str:
        return {
            "input": f"{self.where} has an RMS of {self.size:.3g} where nets expect about 1",
            "small": f"no entry of {self.where} exceeds {self.size:.3g} where nets expect about 1",
            "column": f"one column holds {100 * self.size:.3g} % of the spread of {self.where}",
            "target": f"the targets of {self.where} have {self.size:.3g} times the RMS of the output",
        }[self.kind]

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        return (TARGETS,) if self.kind == "target" else (INPUTS, NORM)

    @property
    def cause(self) -> str:
        return "targets are not scaled" if self.kind == "target" else "inputs are not scaled"

    @property
    def measure(self) -> str:
        """What `size` is, as the evidence calls it."""
        return {
            "input": "rms_of_input",
            "small": "largest_entry",
            "column": "share_of_column",
            "target": "times_the_output",
        }[self.kind]
