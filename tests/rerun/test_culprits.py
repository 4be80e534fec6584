"""A step that is run again names the operation that gave the first NaN, and no mask of -inf instead."""

import inspect
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support import captured
from tests.support.captured import EVERY_STEP, train
from torchvitals import Recorder
from torchvitals.captures.births import Rerun
from torchvitals.captures.capture import Capture, read
from torchvitals.captures.trees import inputs_of
from torchvitals.cli import main
from torchvitals.rerun import rerun
from torchvitals.rerun.weights import bare


def captured_step(model: nn.Module, tmp_path: Path, **how) -> Capture:
    """The capture of the first NaN or Inf."""
    vitals = train(model, Recorder(tmp_path / "captures", max_captures=9), **how)
    captures = [read(path) for path in vitals.summary.captures]
    (capture,) = [c for c in captures if "the first NaN or Inf" in c.header["triggers"]]
    return capture


def draw() -> torch.Tensor:
    """The inputs of a step of `train`, and its labels thrown away."""
    x, _ = torch.randn(16, 8), torch.randint(0, 4, (16,))
    return x


def key_of_input(capture: Capture) -> str:
    ((_, _, key),) = inputs_of(capture.header["iterations"][0]["calls"][0]["given"])
    return key


def again(make, tmp_path: Path, **how) -> Rerun:
    return rerun(captured_step(make(), tmp_path, **how), make())


@pytest.fixture
def born(tmp_path):
    def of(make, **how):
        birth = again(make, tmp_path, **how).birth
        assert birth is not None
        return birth

    return of


def test_the_log_of_a_negative_number_is_named_with_its_module_and_its_line(born):
    birth = born(captured.with_log)
    assert (birth.op, birth.phase, birth.module, birth.module_class) == (
        "aten.log",
        "forward",
        "1.inner",
        "Log",
    )
    lines, first = inspect.getsourcelines(captured.Log.forward)
    assert f"captured.py:{first + 1}: {lines[1].strip()}" in birth.source
    (given,) = birth.inputs
    assert given.finite
    assert given.low < 0
    assert birth.outputs[0].nan > 0


def test_a_capture_of_a_step_that_was_not_due_holds_its_own_batch_and_its_own_weights(tmp_path):
    capture = captured_step(captured.with_log(), tmp_path)
    assert not capture.snapshots[-1].due
    torch.manual_seed(1)
    model = captured.with_log()
    torch.manual_seed(1)
    for _ in range(7):
        model[0](draw())  # the dropout draws, too
    x, noise = draw(), torch.get_rng_state()
    assert torch.equal(capture.tensor(key_of_input(capture)), x)
    assert torch.equal(torch.from_numpy(capture.random("random/0/0")["torch"]), noise)


def test_the_derivative_of_a_root_at_zero_is_named_by_its_node_of_autograd(born):
    birth = born(captured.with_root)
    assert (birth.phase, birth.node, birth.op) == ("backward", "SqrtBackward0", "aten.div")
    assert (birth.module, birth.module_class) == ("1.inner", "Root")
    assert "torch.sqrt(x * 0)" in birth.source


def test_an_overflow_of_float16_is_named_although_nan_is_made_of_it_elsewhere(born):
    birth = born(captured.with_exp)
    assert (birth.op, birth.module) == ("aten.exp", "1.inner")
    assert birth.outputs[0].dtype == "float16"
    assert birth.outputs[0].inf > 0
    assert birth.outputs[0].nan == 0
    assert birth.turned


def test_a_mask_of_minus_infinity_is_not_accused_of_what_happens_after_it(born):
    birth = born(captured.with_mask_and_log)
    assert (birth.op, birth.module) == ("aten.log", "0.then.inner")


def test_where_all_is_masked_the_softmax_is_named_and_not_the_mask(born):
    birth = born(captured.with_all_masked)
    assert (birth.op, birth.module) == ("aten._softmax", "1.inner")
    assert birth.inputs[0].inf == birth.inputs[0].count


def test_a_step_with_masks_and_nothing_wrong_accuses_nobody(tmp_path):
    capture = captured_step(captured.with_log(), tmp_path)
    torch.manual_seed(0)
    model = nn.Sequential(captured.Masked(nn.Identity()), nn.Linear(8, 4))
    capture.header["weights"] = None
    found = rerun(capture, model, loss=lambda out: out.square().mean())
    assert found.birth is None
    assert "those that the model was made with" in found.notes[0]


def test_a_nan_of_a_loss_written_by_hand_lies_outside_of_the_model_until_the_loss_is_given(tmp_path):
    seen = []

    def loss_fn(out, y):
        seen.append(1)
        return torch.log(out.sum() * 0 - 1) if len(seen) == 8 else out.mean()

    capture = captured_step(captured.healthy(), tmp_path, loss_fn=loss_fn)
    birth = rerun(capture, captured.healthy()).birth
    assert birth is not None
    assert birth.phase == "loss"
    birth = rerun(capture, captured.healthy(), loss=lambda out: torch.log(out.sum() * 0 - 1)).birth
    assert birth is not None
    assert (birth.op, birth.module) == ("aten.log", "")
    assert "torch.log(out.sum() * 0 - 1)" in birth.source


def test_a_nan_in_the_batch_is_there_from_the_beginning(tmp_path):
    capture = captured_step(captured.healthy(), tmp_path, loss_fn=poisoned())
    model = captured.healthy()
    capture.arrays[key_of_input(capture)][3, 2] = float("nan")
    birth = rerun(capture, model).birth
    assert birth is not None
    assert (birth.phase, birth.op) == ("given", "input")


def poisoned():
    calls = []

    def loss_fn(out, y):
        calls.append(1)
        return F.cross_entropy(out, y) * (float("nan") if len(calls) == 8 else 1.0)

    return loss_fn


def test_with_the_random_state_put_back_the_loss_is_that_of_the_run_bit_for_bit(tmp_path):
    capture = captured_step(captured.with_root(), tmp_path, schedule=EVERY_STEP)
    found = rerun(capture, captured.with_root())
    assert capture.loss is not None
    assert found.loss == capture.loss
    assert found.by == "the loss"
    for key in list(capture.arrays):
        if key.startswith("random/"):
            del capture.arrays[key]
    torch.manual_seed(5)
    assert rerun(capture, captured.with_root()).loss != capture.loss


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_checkpoint_of_a_wrapped_model_fits(prefix, tmp_path):
    capture = captured_step(captured.with_root(), tmp_path)
    weights = captured.with_root().state_dict()
    torch.save({prefix + name: x for name, x in weights.items()}, tmp_path / "weights.pt")
    model = captured.with_root()
    rerun(capture, model, checkpoint=str(tmp_path / "weights.pt"))
    assert all(torch.equal(x, weights[name]) for name, x in model.state_dict().items())


def test_a_part_of_the_model_may_be_called_module():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.module = nn.Parameter(torch.zeros(1)), nn.Linear(1, 1)

    assert list(bare(dict(Outer().named_parameters()))) == ["weight", "module.weight", "module.bias"]


def test_a_checkpoint_is_used_before_the_weights_of_the_capture(tmp_path):
    capture = captured_step(captured.with_root(), tmp_path, schedule=EVERY_STEP)
    model = captured.with_root()
    with torch.no_grad():
        model.get_parameter("2.bias").add_(1000 * torch.arange(4))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pt")
    found = rerun(capture, captured.with_root(), checkpoint=str(tmp_path / "weights.pt"))
    assert "there was more to it, or the weights are other ones" in found.notes[0]
    assert found.weights == "of the checkpoint"


def test_the_command_line_names_the_operation(tmp_path, capsys):
    vitals = train(captured.with_log(), str(tmp_path / "captures"))
    (path,) = vitals.summary.captures
    assert main(["replay", path, "--model", "tests.support.captured:with_log"]) == 0
    out = capsys.readouterr().out
    assert "born in the forward pass: aten.log in 1.inner (Log)" in out
    assert "The logarithm of a negative number." in out
    assert "torch.log(x) # the line of the log" in " ".join(out.split())


def test_the_command_line_takes_a_loss(tmp_path, capsys):
    vitals = train(captured.with_root(), str(tmp_path / "captures"), schedule=EVERY_STEP)
    (path, *_) = vitals.summary.captures
    loss = "torch.nn.functional:cross_entropy"
    assert main(["replay", path, "--model", "tests.support.captured:with_root", "--loss", loss]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "aten.div in SqrtBackward0 of 1.inner (Root)" in out
    assert "bit for bit" in out


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("tests.support.captured", "package.module:function", id="no-function"),
        pytest.param("tests.support.captured:nothing", "AttributeError", id="unknown"),
        pytest.param("tests.support.captured:poisoned", "AttributeError", id="elsewhere"),
        pytest.param("tests.support.captured:network", "it raised TypeError", id="wants-arguments"),
        pytest.param("torch:get_num_threads", "torch.nn.Module, not int", id="no-model"),
        pytest.param("tests.support.captured:other", "fit", id="other-model"),
    ],
)
def test_a_model_that_cannot_be_is_one_sentence(tmp_path, capsys, model, message):
    (path, *_) = train(captured.with_log(), str(tmp_path / "captures")).summary.captures
    assert main(["replay", path, "--model", model]) == 2
    assert message in capsys.readouterr().err
