"""Fourier amplitude mixing (docs/method.md, section 4)."""

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
    other = _amplitude(torch.fft.rfft2(partners))
    return _mixed(spectrum, _amplitude(spectrum), other, weights.to(images), images.shape[-2:])


def fourier_mix_within(images: torch.Tensor, order: torch.Tensor, weights: torch.Tensor, at_once: int) -> torch.Tensor:
    """Mix each image of a batch with another one of it: `fourier_mix(images, images[order], weights)`.

    Every spectrum is computed once, for the image itself and for the one that takes amplitude from it.

    Args:
        images: float (B, 1, H, W).
        order: int64 (B,), on the images' device: the row that each image takes amplitude from.
        weights: float (B,) in [0, 1].
        at_once: How many images are transformed together.
    """
    spectra = [torch.fft.rfft2(some) for some in images.split(at_once)]
    amplitude = torch.cat([_amplitude(spectrum) for spectrum in spectra])
    pieces = zip(spectra, amplitude.split(at_once), order.split(at_once), weights.to(images).split(at_once))
    size = images.shape[-2:]
    return torch.cat([_mixed(own, strength, amplitude[rows], some, size) for own, strength, rows, some in pieces])


def _mixed(
    spectrum: torch.Tensor, amplitude: torch.Tensor, other: torch.Tensor, weights: torch.Tensor, size: torch.Size
) -> torch.Tensor:
    """Images of a spectrum's phase and mixed amplitude; without a gradient the spectrum is overwritten."""
    mixed = torch.lerp(other, amplitude, weights[:, None, None, None])
    silent = amplitude < _NOTHING
    change = mixed / amplitude.masked_fill(silent, 1)
    if spectrum.requires_grad:
        spectrum = spectrum * change
    else:
        torch.view_as_real(spectrum).mul_(change[..., None])
    if silent.any():
        spectrum = torch.where(silent, mixed.to(spectrum.dtype), spectrum)
    return torch.fft.irfft2(spectrum, s=size)


def _amplitude(spectrum: torch.Tensor) -> torch.Tensor:
    """|F|, without the care for overflow that makes `abs` slow: film spectra are far from it."""
    return torch.view_as_real(spectrum).square().sum(-1).sqrt_()
