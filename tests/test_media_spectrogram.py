"""Windows, log-mel spectrograms and noise, against computations that share no code with them."""

import numpy as np
import pytest
import torch

from elision.errors import InputError
from elision.media.extract import MediaSettings
from elision.media.noise import _DRAWN_TOGETHER, white
from elision.media.spectrogram import Mel, filters, log_mel


@pytest.mark.parametrize("count, seconds, start, end", [(30, 0.5, 0.0, 3.7), (30, 0.5, 2.0, 100.0), (2, 1.0, 0.3, 2.3)])
def test_windows_are_even_and_touch_both_ends(count, seconds, start, end):
    starts = MediaSettings(count, seconds).starts(start, end)
    assert len(starts) == count
    assert starts[0] == pytest.approx(start)
    assert starts[-1] + seconds == pytest.approx(end)
    np.testing.assert_allclose(np.diff(starts), (end - start - seconds) / (count - 1))


def test_windows_of_a_clip_shorter_than_one_begin_at_its_start():
    np.testing.assert_array_equal(MediaSettings(4, 0.5).starts(1.0, 1.04), [1.0] * 4)


def test_a_single_window_lies_in_the_middle():
    np.testing.assert_allclose(MediaSettings(1, 0.5).starts(1.0, 3.0), [1.75])


@pytest.mark.parametrize("count, seconds", [(0, 0.5), (3, 0.0), (3, -1.0), (3, float("nan")), (3, float("inf"))])
def test_windows_that_cannot_be_are_refused(count, seconds):
    with pytest.raises(InputError, match="expected"):
        MediaSettings(count, seconds)


def mel_scale(hertz):
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def reference(waveform: np.ndarray, mel: Mel) -> np.ndarray:
    """The definition, frame by frame and band by band, in float64."""
    size, hop = 400, 160
    points = 512
    hann = np.array([0.5 - 0.5 * np.cos(2 * np.pi * i / size) for i in range(size)])
    padded = np.pad(waveform.astype(np.float64), points // 2, mode="reflect")
    frames = []
    for begin in range(0, len(waveform) + 1, hop):
        piece = padded[begin + (points - size) // 2 :][:size]
        frames.append(np.abs(np.fft.rfft(piece * hann, points)) ** 2 / hann.sum() ** 2)
    at = np.linspace(mel_scale(mel.low), mel_scale(mel.high), mel.bands + 2)
    edges = 700 * (10 ** (at / 2595) - 1)
    frequencies = np.arange(points // 2 + 1) * 16000 / points
    bands = [np.interp(frequencies, edges[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(mel.bands)]
    return np.log(np.array(bands) @ np.array(frames).T + mel.floor)


def test_log_mel_is_its_definition():
    waveform = np.random.default_rng(0).normal(size=(3, 8000)).astype(np.float32) * 0.1
    found = log_mel(torch.from_numpy(waveform), Mel()).numpy()
    assert found.shape == (3, 64, Mel().frames(8000)) == (3, 64, 51)
    for row, expected in zip(found, waveform, strict=True):
        np.testing.assert_allclose(row, reference(expected, Mel()), atol=2e-4)


@pytest.mark.parametrize("hertz", [200.0, 440.0, 1000.0, 3210.0, 7000.0])
def test_a_tone_lands_in_the_band_that_contains_it(hertz):
    tone = np.sin(2 * np.pi * hertz * np.arange(8000) / 16000).astype(np.float32)
    loudest = log_mel(torch.from_numpy(tone), Mel()).numpy()[:, 25].argmax()
    edges = np.linspace(mel_scale(50), mel_scale(8000), 66)
    assert edges[loudest] < mel_scale(hertz) < edges[loudest + 2]
    assert abs(edges[loudest + 1] - mel_scale(hertz)) <= 0.6 * (edges[1] - edges[0]) + 16 * 1127 / (700 + hertz)


def test_a_sine_of_amplitude_one_has_power_a_quarter():
    mel = Mel(bands=8)
    centre = 700 * (10 ** (np.linspace(mel_scale(50), mel_scale(8000), 10)[4] / 2595) - 1)
    bin_centre = round(centre / 31.25) * 31.25
    tone = torch.from_numpy(np.sin(2 * np.pi * bin_centre * np.arange(8000) / 16000).astype(np.float32))
    height = filters(mel)[round(bin_centre / 31.25), 3].item()
    peak = log_mel(tone, mel)[3, 25].exp().item()
    assert 0.25 * height < peak < 0.25 * 2.5  # and the window's neighbours under the wide triangle


def test_silence_is_the_floor_and_fits_float16():
    silence = log_mel(torch.zeros(8000), Mel()).half()
    assert torch.allclose(silence.float(), torch.full((64, 51), np.log(1e-10)), atol=0.01)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"bands": 400}, "take fewer bands"),
        ({"bands": 0}, "at least 1"),
        ({"high": 9000.0}, "half the sample rate"),
        ({"low": 8000.0}, "low < high"),
        ({"hop": 0.0}, "at least a sample"),
        ({"floor": 0.0}, "more than 0"),
        ({"sample_rate": 10}, "1000 to 192000"),
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Mel(**wrong)


def test_noise_depends_on_the_key_and_agrees_where_it_overlaps():
    whole = white("a", 0, 3 * _DRAWN_TOGETHER)
    np.testing.assert_array_equal(white("a", _DRAWN_TOGETHER - 5, 10), whole[_DRAWN_TOGETHER - 5 : _DRAWN_TOGETHER + 5])
    np.testing.assert_array_equal(white("a", -3, 6)[3:], whole[:3])
    other = white("b", 0, 3 * _DRAWN_TOGETHER)
    assert abs(np.corrcoef(whole, other)[0, 1]) < 0.02  # 4.4 standard errors of 1 / sqrt(49152)
    assert abs(np.corrcoef(whole[:-1], whole[1:])[0, 1]) < 0.02
    assert abs(whole.mean()) < 0.02
    assert abs(whole.std() - 1) < 0.02
