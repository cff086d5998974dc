"""Log-mel spectrograms."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from elision.errors import InputError


@dataclass(frozen=True)
class Mel:
    """The parameters of a log-mel spectrogram.

    Args:
        sample_rate: samples per second.
        window: seconds of a Hann window.
        hop: seconds from one frame to the next.
        bands: triangular filters, evenly spaced on the mel scale 2595 log10(1 + f / 700).
        low, high: Hz where the first triangle begins and the last one ends; `high` up to half the sample rate.
        floor: power added before the logarithm. A sine of amplitude 1 has power 1/4, so 1e-10 is 94 dB below it.
    """

    sample_rate: int = 16000
    window: float = 0.025
    hop: float = 0.010
    bands: int = 64
    low: float = 50.0
    high: float = 8000.0
    floor: float = 1e-10

    def __post_init__(self) -> None:
        if not 1000 <= self.sample_rate <= 192000:
            raise InputError(f"sample rate {self.sample_rate}: expected 1000 to 192000 per second")
        if not (0 <= self.low < self.high <= self.sample_rate / 2):
            raise InputError(
                f"mel bands from {self.low} to {self.high} Hz: expected 0 <= low < high <= {self.sample_rate / 2}, "
                "half the sample rate"
            )
        if self.window_samples < 2 or self.hop_samples < 1:
            raise InputError(f"a window of {self.window} s and a hop of {self.hop} s: expected at least a sample each")
        if self.floor <= 0:
            raise InputError(f"floor {self.floor}: expected more than 0, for the logarithm")
        if self.bands < 1 or (filters(self).amax(0) == 0).any():
            raise InputError(
                f"{self.bands} mel bands from {self.low} to {self.high} Hz: expected at least 1, and a frequency of "
                f"the Fourier transform ({self.sample_rate / self.points:.1f} Hz apart) in each; take fewer bands"
            )

    @property
    def window_samples(self) -> int:
        """Samples under the Hann window."""
        return round(self.window * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return round(self.hop * self.sample_rate)

    @property
    def points(self) -> int:
        """Points of the Fourier transform: the smallest power of two that holds the window."""
        return 1 << (self.window_samples - 1).bit_length()

    def frames(self, samples: int) -> int:
        """Return how many frames `log_mel` makes of so many samples."""
        return 1 + samples // self.hop_samples


def log_mel(waveform: Tensor, mel: Mel) -> Tensor:
    """Return log( floor + sum_f filter(f) |STFT(f)|^2 / (sum of the window)^2 ), the natural logarithm.

    Frame i is centred on sample i hop; beyond its ends the waveform is mirrored.

    Args:
        waveform: shape (..., samples), full scale -1 to 1; samples more than half of `Mel.points`.
        mel: the parameters.

    Returns:
        Shape (..., bands, 1 + samples // hop).

    Example:
        >>> log_mel(torch.zeros(2, 8000), Mel()).shape
        torch.Size([2, 64, 51])
    """
    window = torch.hann_window(mel.window_samples, dtype=waveform.dtype)
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrum = torch.stft(
        flat, mel.points, mel.hop_samples, mel.window_samples, window / window.sum(), center=True, return_complex=True
    )
    power = torch.view_as_real(spectrum).square().sum(-1)
    bands = filters(mel).to(power.dtype).T @ power
    return (bands + mel.floor).log_().reshape(*waveform.shape[:-1], *bands.shape[-2:])


@lru_cache(maxsize=8)
def filters(mel: Mel) -> Tensor:
    """Return the mel filters, triangles of height 1, shape (points // 2 + 1, bands), float32."""
    frequencies = torch.linspace(0, mel.sample_rate / 2, mel.points // 2 + 1, dtype=torch.float64)
    ends = torch.tensor([mel.low, mel.high], dtype=torch.float64)
    low, high = (2595 * torch.log10(1 + ends / 700)).tolist()
    edges = 700 * (10 ** (torch.linspace(low, high, mel.bands + 2, dtype=torch.float64) / 2595) - 1)
    widths = edges.diff()
    rising = (frequencies[:, None] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - frequencies[:, None]) / widths[1:]
    return torch.minimum(rising, falling).clamp_(min=0).float()
