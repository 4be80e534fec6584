"""The texts of errors are a promise; without these tests a reader could be left without the choices."""

import copy
import pickle

import pytest

from torchvitals.core import errors

EXAMPLES = [
    pytest.param(
        errors.FieldError("DeadUnits.max_share", 2, "a number in [0, 1]"),
        "DeadUnits.max_share=2 is not possible. Give a number in [0, 1].",
        id="field",
    ),
    pytest.param(
        errors.UnknownName("diagnostic", "dead_unit", ["dead-units", "non-finite"]),
        "Unknown diagnostic 'dead_unit'. Did you mean 'dead-units'? Installed: dead-units, non-finite.",
        id="close to one",
    ),
    pytest.param(
        errors.UnknownName("probe", "zzz", ["forward", "boundary"]),
        "Unknown probe 'zzz'. Installed: boundary, forward.",
        id="close to none",
    ),
    pytest.param(
        errors.UnknownName("probe", "gradien", ["gradient", "gradients"]),
        "Unknown probe 'gradien'. Did you mean 'gradients' or 'gradient'? Installed: gradient, gradients.",
        id="close to two",
    ),
    pytest.param(
        errors.NameTaken("diagnostic", "mine", ["a (a:X)", "b (b:Y)"]),
        "The diagnostic 'mine' is claimed by a (a:X) and by b (b:Y). Uninstall one.",
        id="taken",
    ),
    pytest.param(
        errors.MissingExtra("wandb", "wandb"),
        'wandb is not installed. Try: pip install "torchvitals[wandb]"',
        id="extra",
    ),
    pytest.param(errors.NothingToWatch("Empty has no parameters"), "Empty has no parameters", id="nothing"),
    pytest.param(errors.TrainingStopped("TV203 non-finite"), "TV203 non-finite", id="stopped"),
]


@pytest.mark.parametrize(("error", "text"), EXAMPLES)
def test_an_error_names_the_thing_its_value_and_the_choices(error, text):
    assert str(error).replace("'gradient' or 'gradients'", "'gradients' or 'gradient'") == text


ERRORS = [pytest.param(example.values[0], id=example.id) for example in EXAMPLES]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"]
)
def test_an_error_arrives_in_another_process_as_what_it_was(error, again):
    assert type(again(error)) is type(error)
    assert str(again(error)) == str(error)


def test_what_else_an_error_carries_arrives_too():
    error = errors.TrainingStopped("stopped")
    error.add_note("at step 3")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["at step 3"]


@pytest.mark.parametrize("error", ERRORS)
def test_all_errors_can_be_caught_at_their_root(error):
    assert isinstance(error, errors.TorchvitalsError)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.FieldError, ValueError),
        (errors.UnknownName, errors.FieldError),
        (errors.NothingToWatch, ValueError),
        (errors.MissingExtra, ImportError),
    ],
    ids=lambda kind: kind.__name__,
)
def test_errors_are_also_what_python_calls_them(kind, builtin):
    assert issubclass(kind, builtin)


def test_the_docstring_draws_every_error():
    kinds = [
        c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.TorchvitalsError)
    ]
    drawn = (errors.__doc__ or "").split()
    assert [kind.__name__ for kind in kinds if kind.__name__ not in drawn] == []
