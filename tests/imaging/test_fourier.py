import numpy as np
import pytest
import torch

from unichest_kedro.imaging.fourier import fourier_mix, fourier_mix_within


def literally(image, partner, weight):
    """docs/method.md, section 4, for one image, float64."""
    spectrum, other = np.fft.fft2(image), np.fft.fft2(partner)
    amplitude = weight * np.abs(spectrum) + (1 - weight) * np.abs(other)
    return np.real(np.fft.ifft2(amplitude * np.exp(1j * np.angle(spectrum))))


@pytest.mark.parametrize("shape", [(32, 32), (31, 31), (16, 20), (1, 9)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_agrees_with_the_formula(shape, dtype, tolerance):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(4, 1, *shape, generator=generator, dtype=dtype)
    partners = torch.rand(4, 1, *shape, generator=generator, dtype=dtype)
    weights = torch.tensor([0.0, 0.3, 0.9, 1.0], dtype=dtype)
    mixed = fourier_mix(images, partners, weights)
    assert mixed.dtype == dtype and mixed.shape == images.shape
    for row in range(4):
        expected = literally(
            images[row, 0].double().numpy(), partners[row, 0].double().numpy(), weights[row].double().item()
        )
        np.testing.assert_allclose(mixed[row, 0], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_image_without_amplitude_takes_the_partner_s_with_angle_zero(value):
    """A film of one value has no amplitude but its mean's: the case where F / |F| would be 0 / 0."""
    image = torch.full((1, 1, 8, 8), value)
    partner = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed = fourier_mix(image, partner, torch.tensor([0.4]))
    expected = literally(image[0, 0].double().numpy(), partner[0, 0].double().numpy(), 0.4)
    np.testing.assert_allclose(mixed[0, 0], expected, atol=1e-5)


def test_weight_one_and_own_partner_change_nothing_and_inputs_stay():
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    torch.testing.assert_close(fourier_mix(images, images.flip(0), torch.ones(3)), before)
    torch.testing.assert_close(fourier_mix(images, images, torch.zeros(3)), before)
    assert torch.equal(images, before)


@pytest.mark.parametrize("at_once", [1, 2, 5, 8])
def test_within_a_batch_partners_are_the_images_in_another_order(at_once):
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(5, 1, 12, 10, generator=generator)
    images[3] = 0.5  # without amplitude, and as a partner
    before, order, weights = images.clone(), torch.tensor([3, 0, 4, 2, 1]), torch.rand(5, generator=generator)
    mixed = fourier_mix_within(images, order, weights, at_once)
    torch.testing.assert_close(mixed, fourier_mix(images, images[order], weights))
    assert torch.equal(images, before)


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (4, 6), (1, 9)])
def test_gradients_are_those_of_the_formula(shape):
    generator = torch.Generator().manual_seed(5)
    images, partners = (torch.rand(3, 1, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
    weights = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    factors = torch.rand(images.shape, generator=generator, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (images, partners, weights)]
    got = torch.autograd.grad((fourier_mix(*inputs) * factors).sum(), inputs)
    total = torch.zeros((), dtype=torch.float64)
    for row in range(3):
        spectrum, other = torch.fft.fft2(images[row, 0]), torch.fft.fft2(partners[row, 0])
        amplitude = weights[row] * spectrum.abs() + (1 - weights[row]) * other.abs()
        mixed = torch.fft.ifft2(amplitude * torch.exp(1j * spectrum.angle())).real
        total = total + (mixed * factors[row, 0]).sum()
    for name, one, expected in zip(("images", "partners", "weights"), got, torch.autograd.grad(total, inputs)):
        torch.testing.assert_close(one, expected, msg=lambda text, name=name: f"{name}: {text}")
