"""Fourier amplitude mixing (METHOD.md sections 3 and 4)."""

import torch

_NOTHING = 1e-18
"""Amplitudes below this are rounding (float32 loses their square), and their phase means nothing."""


def fourier_mix(images: torch.Tensor, partners: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Keep each image's phase and mix its amplitude spectrum with another image's.

    `x' = real(ifft2((w |F(x)| + (1 - w) |F(x_other)|) exp(1j angle(F(x)))))`. As the images are real, half
    the spectrum suffices; as `exp(1j angle(F)) = F / |F|`, no angle is computed. Where F is 0 its angle is 0.

    Args:
        images: float (B, 1, H, W).
        partners: As `images`: what each one takes amplitude from.
        weights: float (B,) in [0, 1]; 1 leaves an image as it is, 0 gives it the partner's amplitude.

    Returns:
        As `images`; not clipped, so values may leave the input's range.
    """
    spectrum = torch.fft.rfft2(images)
    amplitude = _amplitude(spectrum)
    mixed = torch.lerp(_amplitude(torch.fft.rfft2(partners)), amplitude, weights.to(images)[:, None, None, None])
    silent = amplitude < _NOTHING
    if spectrum.requires_grad:  # a gradient needs spectrum and amplitude as they were
        spectrum = spectrum * (mixed / amplitude.masked_fill(silent, 1))
    else:
        torch.view_as_real(spectrum).mul_((mixed / amplitude.masked_fill_(silent, 1))[..., None])
    if silent.any():
        spectrum = torch.where(silent, mixed.to(spectrum.dtype), spectrum)
    return torch.fft.irfft2(spectrum, s=images.shape[-2:])


def _amplitude(spectrum: torch.Tensor) -> torch.Tensor:
    """|F|, without the care for overflow that makes `abs` slow: film spectra are far from it."""
    return torch.view_as_real(spectrum).square().sum(-1).sqrt_()
