"""Records small networks under autocast, and a GradScaler's steps, with PyTorch, for tests/amp.rs.

    python tests/goldens/record/autocast.py

Tensors of `autocast.safetensors`: `NET.in`, `NET.target`, `NET.state.NAME`, and for each half type `NET.TYPE.out`,
`NET.TYPE.loss`, `NET.TYPE.grad.NAME`. The metadata has the types of the layers' results, and the scaler's steps.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(0)
tensors = {}
types = {}


def mlp():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 6)), torch.randn(10, 12)


def cnn():
    layers = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(24, 6),
    )
    return layers, torch.randn(5, 2, 8, 8)


def short(dtype):
    return {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}[dtype]


for name, make in [("mlp", mlp), ("cnn", cnn)]:
    model, x = make()
    target = torch.randint(0, 6, (len(x),))
    tensors[f"{name}.in"], tensors[f"{name}.target"] = x, target
    start = {key: value.clone() for key, value in model.state_dict().items()}
    tensors |= {f"{name}.state.{key}": value for key, value in start.items()}
    for half in [torch.float16, torch.bfloat16]:
        model.load_state_dict(start)
        model.zero_grad()
        seen = []
        hooks = [layer.register_forward_hook(lambda *a: seen.append(short(a[2].dtype))) for layer in model]
        with torch.autocast("cpu", dtype=half):
            out = model(x)
            loss = nn.functional.cross_entropy(out, target)
        loss.backward()
        for hook in hooks:
            hook.remove()
        key = f"{name}.{short(half)}"
        types[key] = seen + [short(loss.dtype)]
        tensors[f"{key}.out"], tensors[f"{key}.loss"] = out.detach().float(), loss.detach()
        for parameter, value in model.named_parameters():
            assert value.grad.dtype == torch.float32
            tensors[f"{key}.grad.{parameter}"] = value.grad.clone()
        for buffer, value in model.named_buffers():
            if value.is_floating_point():
                tensors[f"{key}.buffer.{buffer}"] = value.clone()

# One parameter whose gradient is the step's number, infinite in some of them.
steps = [1.0, 2.0, float("inf"), 0.5, 1.0, 1.5, 2.0, float("nan"), 1.0, 1.0, 3e38, 1.0, 1.0, 1.0, 1.0]
trace = []
for clip in [None, 0.75]:
    w = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = torch.optim.Adam([w], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_factor=4.0, backoff_factor=0.5, growth_interval=3)
    rows = []
    for gradient in steps:
        optimizer.zero_grad()
        loss = (w * torch.tensor([gradient, 1.0])).sum()
        scaler.scale(loss).backward()
        if clip is not None:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_([w], clip)
        scaler.step(optimizer)
        scaler.update()
        state = optimizer.state.get(w, {})
        rows.append({
            "gradient": str(gradient), "scale": scaler.get_scale(), "tracker": scaler._get_growth_tracker(),
            "w": w.tolist(), "step": int(state["step"]) if state else 0,
        })
    trace.append({"clip": clip, "rows": rows})

path = pathlib.Path(__file__).parent.parent / "data" / "autocast.safetensors"
metadata = {"types": json.dumps(types), "scaler": json.dumps(trace), "torch": torch.__version__}
save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata)
print(types, path.stat().st_size)
for row in trace[0]["rows"]:
    print(row)
