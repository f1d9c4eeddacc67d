"""Signals made from a secret: the same for who knows it, and what their labels say is in them."""

import numpy as np
import pytest

from genius_kit.errors import InvalidParameter
from genius_kit.private import signals
from genius_kit.private.signals import SignalTask, commitment, make_signals, new_secret

SECRET = "00112233445566778899aabbccddeeff"  # pragma: allowlist secret
OTHER = "ffeeddccbbaa99887766554433221100"  # pragma: allowlist secret


def test_the_secret_alone_decides_the_signals():
    """The same secret gives the same bits, another one other signals and other labels."""
    task = SignalTask(samples=200)
    first, again, other = (make_signals(task, secret) for secret in (SECRET, SECRET, OTHER))
    for part in signals.PARTS:
        assert first.signals[part].tobytes() == again.signals[part].tobytes()
        assert first.labels[part].tobytes() == again.labels[part].tobytes()
        assert first.signals[part].shape == (200, 48)
        assert first.signals[part].dtype == np.float32
        assert not np.array_equal(first.labels[part], other.labels[part])
    assert not np.array_equal(first.signals["train"], first.signals["test"])


def test_a_label_is_the_pair_of_motifs_in_their_order():
    """Without noise each signal is its two motifs, at some height, one after the other, and nothing else."""
    task = SignalTask(samples=300, noise=0.0)
    motifs = signals._curves(task.motifs, task.motif_length, signals.generator(SECRET, "motifs"))
    made, labels = signals._part(task, motifs, signals.generator(SECRET, "train"))
    assert set(labels) <= set(range(25))
    for signal, label in zip(made, labels, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(signal, 9)
        first, second = motifs[label // 5], motifs[label % 5]
        found = [
            (start, later)
            for start in np.flatnonzero(np.abs(windows - np.outer(windows @ first / 9, first)).max(axis=1) < 1e-9)
            for later in np.flatnonzero(np.abs(windows - np.outer(windows @ second / 9, second)).max(axis=1) < 1e-9)
            if later >= start + 9 and np.abs(windows[start]).max() and np.abs(windows[later]).max()
        ]
        assert found
        start, later = found[0]
        rest = signal.copy()
        rest[start : start + 9] = rest[later : later + 9] = 0
        assert not rest.any()


def test_motifs_are_equally_far_apart_whatever_the_secret():
    """They have mean 0 and deviation 1 and are at right angles, so that no secret makes an easier task than another."""
    for secret in (SECRET, OTHER):
        motifs = signals._curves(5, 9, signals.generator(secret, "motifs"))
        np.testing.assert_allclose(motifs @ motifs.T / 9, np.eye(5), atol=1e-12)
        np.testing.assert_allclose(motifs.mean(axis=1), 0, atol=1e-12)


def test_parts_are_standardised_by_the_training_part():
    """The training part has mean 0 and deviation 1, the others nearly."""
    made = make_signals(SignalTask(samples=2000), SECRET)
    assert abs(made.signals["train"].mean()) < 1e-5
    assert abs(made.signals["train"].std() - 1) < 1e-5
    assert abs(made.signals["test"].std() - 1) < 0.05


def test_a_commitment_binds_the_secret_and_its_use():
    """The same secret and settings give the same sum, and neither can be another."""
    settings = SignalTask().settings()
    assert commitment(SECRET, settings) == commitment(SECRET, dict(reversed(settings.items())))
    assert commitment(SECRET, settings) != commitment(OTHER, settings)
    assert commitment(SECRET, settings) != commitment(SECRET, {**settings, "noise": 0.3})
    assert len({new_secret() for _ in range(20)}) == 20


@pytest.mark.parametrize("secret", ["", "0123", "g" * 32, SECRET.upper(), SECRET + "0"])
def test_what_is_no_secret_is_refused_without_being_told(secret):
    """A secret of another form is refused, and the message does not hold it."""
    with pytest.raises(InvalidParameter, match="must be 32 digits") as refused:
        make_signals(SignalTask(samples=100), secret)
    assert not secret or secret not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "images"),
        ("samples", 10),
        ("samples", True),
        ("motifs", 1),
        ("motifs", 9),
        ("noise", -1.0),
        ("motif_length", 30),
    ],
)
def test_a_task_that_cannot_be_is_refused(field, value):
    """The message names what came."""
    with pytest.raises(InvalidParameter, match=str(value)):
        SignalTask(**{field: value})
