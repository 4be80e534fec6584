"""A capture is safe to open, and a file that is none is told apart in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.captured import train, with_log
from torchvitals.captures.capture import BadCapture, Capture, array_of, read, write
from torchvitals.cli import main


@pytest.fixture
def path(tmp_path):
    (path,) = train(with_log(), str(tmp_path / "captures")).summary.captures
    return path


def test_numpy_opens_it_without_pickle(path):
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
        header = json.loads(file["header"].tobytes())
    assert (header["step"], header["model"]) == (7, "Sequential")


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.bool,
        torch.int8,
        torch.complex64,
        torch.float8_e4m3fn,
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
def test_tensors_of_any_dtype_come_back_bit_for_bit(tmp_path, dtype, shape):
    x = torch.randn(shape).to(dtype)
    about = {"dtype": str(dtype).removeprefix("torch."), "shape": list(shape), "device": "cpu"}
    header = {"format": 1, "tensors": {"t": about}}
    back = read(write(Capture(header=header, arrays={"t": array_of(x)}), tmp_path, "x")).tensor("t")
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    assert array_of(back).tobytes() == array_of(x).tobytes()


def test_a_name_that_is_taken_is_left_to_its_owner(tmp_path):
    capture = Capture(header={"format": 1})
    names = [write(capture, tmp_path, "step-1").name for _ in range(3)]
    assert names == ["step-1.npz", "step-1-2.npz", "step-1-3.npz"]


def test_what_cannot_be_written_whole_leaves_nothing(tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        write(Capture(header={}), tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_cut_off_is_told_as_such(path, tmp_path):
    data = Path(path).read_bytes()
    for length in (10, len(data) // 2, len(data) - 5):
        cut = tmp_path / "cut.npz"
        cut.write_bytes(data[:length])
        with pytest.raises(BadCapture, match="damaged or cut off"):
            read(cut)


def test_a_byte_that_has_changed_is_noticed(path, tmp_path):
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "changed.npz").write_bytes(data)
    with pytest.raises(BadCapture, match="damaged or cut off"):
        read(tmp_path / "changed.npz")


def test_other_files_of_numpy_are_told_apart(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(BadCapture, match="it has no header"):
        read(tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", header=np.array([object()]))
    with pytest.raises(BadCapture, match="allow_pickle"):
        read(tmp_path / "pickled.npz")


def test_a_capture_of_a_later_format_is_told_apart(tmp_path):
    with pytest.raises(BadCapture, match="format 99, this torchvitals reads format 1"):
        read(write(Capture(header={"format": 99}), tmp_path, "x"))


def test_replay_tells_captures_and_runs_apart_by_what_they_hold(path, tmp_path, capsys):
    other = tmp_path / "run.jsonl"
    other.write_bytes(Path(path).read_bytes())
    assert main(["replay", str(other)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("torchvitals: step 7 of Sequential - the first NaN or Inf, CRITICAL TV203")
    assert "input: float32 (16, 8)" in out
    assert "CRITICAL  TV203 non-finite" in out
    assert max(map(len, out.replace(str(tmp_path), "").splitlines())) <= 80


def test_replay_refuses_what_fits_the_other_kind(path, tmp_path, capsys):
    assert main(["replay", path, "--set", "non-finite.near_limit=1"]) == 2
    assert "--set='" not in (said := capsys.readouterr().err)
    assert "it for a run" in said
    (tmp_path / "run.jsonl").write_text('{"type":"header","format":1}\n')
    assert main(["replay", str(tmp_path / "run.jsonl"), "--model", "a:b"]) == 2
    assert "it for a capture" in capsys.readouterr().err


def test_replay_of_a_damaged_capture_is_one_sentence(path, tmp_path, capsys):
    (tmp_path / "cut.npz").write_bytes(Path(path).read_bytes()[:5000])
    assert main(["replay", str(tmp_path / "cut.npz")]) == 2
    assert "damaged or cut off" in capsys.readouterr().err
