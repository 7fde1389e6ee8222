"""Records torchvision's transforms: `python transforms.py ../data/transforms.safetensors`."""

import sys

import torch
from safetensors.torch import save_file
from torchvision.transforms import InterpolationMode, functional as F

torch.manual_seed(0)
rgb = torch.randint(0, 256, (3, 9, 14), dtype=torch.uint8)
grey = torch.randint(0, 256, (1, 12, 7), dtype=torch.uint8)
floats = torch.rand(3, 9, 14)
out = {"rgb": rgb, "grey": grey, "floats": floats}


def both(name, function):
    for kind, image in [("rgb", rgb), ("grey", grey), ("floats", floats)]:
        out[f"{name}.{kind}"] = function(image).clone().contiguous()


both("resize_5_20", lambda x: F.resize(x, [5, 20], antialias=True))
both("resize_30_6", lambda x: F.resize(x, [30, 6], antialias=True))
both("shorter_6", lambda x: F.resize(x, 6, antialias=True))
both("center_crop_5_4", lambda x: F.center_crop(x, [5, 4]))
both("center_crop_20_9", lambda x: F.center_crop(x, [20, 9]))
both("pad_1_2_3_4", lambda x: F.pad(x, [1, 2, 3, 4]))
both("flip", F.hflip)
both("flop", F.vflip)
both("brightness_1.7", lambda x: F.adjust_brightness(x, 1.7))
both("contrast_0.4", lambda x: F.adjust_contrast(x, 0.4))
both("contrast_1.6", lambda x: F.adjust_contrast(x, 1.6))
both("saturation_0.3", lambda x: F.adjust_saturation(x, 0.3))
both("saturation_1.9", lambda x: F.adjust_saturation(x, 1.9))
both("hue_0.2", lambda x: F.adjust_hue(x, 0.2))
both("hue_-0.4", lambda x: F.adjust_hue(x, -0.4))
for kind, image in [("rgb", rgb), ("floats", floats)]:
    out[f"grayscale.{kind}"] = F.rgb_to_grayscale(image).contiguous()
for mode in [InterpolationMode.NEAREST, InterpolationMode.BILINEAR]:
    both(f"rotate_33_{mode.value}", lambda x: F.rotate(x, 33.0, mode))
    both(f"affine_{mode.value}", lambda x: F.affine(x, -21.0, [2, -1], 1.3, [11.0, 0.0], mode))
save_file(out, sys.argv[1])
