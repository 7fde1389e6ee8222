"""Records one training step of ResNet-18 with PyTorch: `python resnet18.py ../data/resnet18.safetensors [images]`.

With a number of images' seeds, first looks for the ones whose activations stay farthest from the kinks of ReLU and from
ties of max-pooling: where float32 falls to the other side of one, gradients differ by far more than by rounding.

Weights, images and labels come from a hash that `tests/resnet.rs` repeats, so that only results are stored: the loss,
the logits, batch norm's running statistics, and of every gradient its norm and 48 elements. The reference is computed
in float64; `f32.NAME` holds how far PyTorch's float32 is from it (the largest difference of the whole gradient).
"""

import sys

import numpy
import torch
from safetensors.torch import save_file
from torch import nn

SAMPLES = 48
# What a search through 160 found: no activation is nearer to a kink than 3e-6.
IMAGES = 1008


def noise(seed, count):
    """Numbers in [-1, 1) with 24 bits, from Wellons' 32-bit mixer (lowbias32)."""
    x = (numpy.arange(count, dtype=numpy.uint64) + seed * 0x9E3779B9) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    x ^= x >> 16
    return (x >> 8).astype(numpy.float64) / 2.0**23 - 1.0


def tensor(seed, shape, scale, middle=0.0):
    values = noise(seed, int(numpy.prod(shape))) * scale + middle
    return torch.from_numpy(values.astype(numpy.float32)).reshape(shape)


margins = []


def relu(x):
    margins.append(x.detach().abs().min().item())
    return torch.relu(x)


def max_pool(x):
    windows = nn.functional.unfold(nn.functional.pad(x.detach(), (1,) * 4, value=-1.0), 3, stride=2)
    windows = windows.reshape(x.shape[0], x.shape[1], 9, -1)
    best = windows.topk(2, dim=2).values
    # Zeros tie with each other, and have no gradient.
    gap = (best[:, :, 0] - best[:, :, 1])[best[:, :, 0] > 0]
    margins.append(gap.min().item())
    return nn.functional.max_pool2d(x, 3, 2, 1)


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        y = relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(64)
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        for i, (before, after, stride) in enumerate(widths):
            blocks = [Block(before, after, stride), Block(after, after, 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = max_pool(relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def network(dtype):
    model = ResNet18()
    with torch.no_grad():
        for seed, (name, p) in enumerate(model.named_parameters()):
            norm = p.dim() == 1 and name.endswith("weight")
            scale = 0.25 if norm else 1.0 / 64 if p.dim() == 1 else (3.0 / p[0].numel()) ** 0.5
            p.copy_(tensor(seed, p.shape, scale, 1.0 if norm else 0.0))
    return model.to(dtype)


def images(seed, dtype):
    return tensor(seed, (8, 3, 64, 64), 2.0).to(dtype)


def search(count):
    model, found = network(torch.float64), {}
    for seed in range(1000, 1000 + count):
        margins.clear()
        with torch.no_grad():
            model(images(seed, torch.float64))
        found[seed] = min(margins)
    best = max(found, key=found.get)
    print(f"images {best}: margin {found[best]:.2e}")


def step(dtype):
    model = network(dtype)
    x = images(IMAGES, dtype).requires_grad_()
    labels = torch.tensor([(i * 137) % 1000 for i in range(8)])
    logits = model(x)
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters()} | {"input": x.grad}
    stats = {name: b for name, b in model.named_buffers() if "running" in name}
    return loss.detach(), logits.detach(), grads, stats


def main():
    if len(sys.argv) > 2:
        return search(int(sys.argv[2]))
    exact, single = step(torch.float64), step(torch.float32)
    gap = lambda a, b: (a - b.double()).abs().max().float().reshape(1)
    out = {"loss": exact[0].float().reshape(1), "logits": exact[1].float()}
    out |= {"f32.loss": gap(exact[0], single[0]), "f32.logits": gap(exact[1], single[1])}
    for name, gradient in exact[2].items():
        flat = gradient.flatten()
        count = min(SAMPLES, flat.numel())
        picks = torch.arange(count) * flat.numel() // count
        out[f"grad.{name}"] = flat[picks].float()
        out[f"norm.{name}"] = gradient.norm().float().reshape(1)
        out[f"f32.grad.{name}"] = gap(gradient, single[2][name])
    for name, buffer in exact[3].items():
        out[f"buffer.{name}"] = buffer.float()
        out[f"f32.buffer.{name}"] = gap(buffer, single[3][name])
    save_file({name: value.contiguous() for name, value in out.items()}, sys.argv[1])


main()
