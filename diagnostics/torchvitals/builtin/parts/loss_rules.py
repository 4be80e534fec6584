"""Pairs of output and loss function that do not go together: all the rules, and what they say of a call."""

from collections.abc import Iterator

from torchvitals.builtin.parts import class_rules, number_rules, yes_no_rules
from torchvitals.builtin.parts.calls import Call
from torchvitals.builtin.parts.mismatch import Mismatch, Rule

RULES: tuple[Rule, ...] = (
    class_rules.one_unit,
    class_rules.batch_softmax,
    number_rules.broadcast,
    class_rules.view_for_transpose,
    class_rules.squashed_classes,
    yes_no_rules.squashed_twice,
    class_rules.not_log_probabilities,
    yes_no_rules.not_probabilities,
    yes_no_rules.no_answers,
    number_rules.out_of_range,
    class_rules.clipped_logits,
    yes_no_rules.exclusive_classes,
    number_rules.labels_as_numbers,
    number_rules.class_numbers,
    number_rules.summed,
)
"""In the order in which one says more than the next."""


def mismatches(call: Call) -> Iterator[Mismatch]:
    """All that is wrong with a call, certain things first."""
    found = [m for rule in RULES if (m := rule(call)) is not None]
    yield from sorted(found, key=lambda m: (m.note, not m.certain))
