"""Records trajectories_more.json: optimisers and schedules in PyTorch, with options that trajectories.json has not."""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from torch.optim import lr_scheduler as s

DATA = pathlib.Path(__file__).parent.parent / "data"
STEPS = 25
OPTIMIZERS = {
    "sgd_all": ("SGD", dict(lr=0.05, momentum=0.8, dampening=0.3, weight_decay=0.02), {}),
    "sgd_maximize": ("SGD", dict(lr=0.01, maximize=True, weight_decay=0.1), {}),
    "adagrad_all": ("Adagrad", dict(lr=0.1, lr_decay=0.1, weight_decay=0.02, initial_accumulator_value=0.1, eps=1e-6), {}),
    "adadelta_all": ("Adadelta", dict(lr=0.8, rho=0.8, eps=1e-4, weight_decay=0.02), {}),
    "rmsprop_momentum": ("RMSprop", dict(lr=0.005, momentum=0.8, alpha=0.9, weight_decay=0.02), {}),
    "rmsprop_all": ("RMSprop", dict(lr=0.002, momentum=0.8, alpha=0.9, centered=True, eps=1e-3), {}),
    "adam_amsgrad": ("Adam", dict(lr=0.02, amsgrad=True, betas=(0.7, 0.8)), {}),
    "adam_maximize": ("Adam", dict(lr=0.005, maximize=True, eps=1e-4), {}),
    "adamw_amsgrad": ("AdamW", dict(lr=0.02, amsgrad=True, betas=(0.8, 0.9), weight_decay=0.1), {}),
    "nadam": ("NAdam", dict(lr=0.01), {}),
    "nadam_all": ("NAdam", dict(lr=0.01, betas=(0.8, 0.9), weight_decay=0.05, momentum_decay=0.02), {}),
    "nadam_decoupled": ("NAdam", dict(lr=0.01, weight_decay=0.1, decoupled_weight_decay=True), {}),
    "radam": ("RAdam", dict(lr=0.02), {}),
    "radam_all": ("RAdam", dict(lr=0.02, betas=(0.8, 0.95), weight_decay=0.05), {}),
    "radam_decoupled": ("RAdam", dict(lr=0.02, weight_decay=0.1, decoupled_weight_decay=True), {}),
    "adamax": ("Adamax", dict(lr=0.02), {}),
    "adamax_all": ("Adamax", dict(lr=0.02, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.05), {}),
    "asgd": ("ASGD", dict(lr=0.1), {}),
    "asgd_all": ("ASGD", dict(lr=0.1, lambd=0.05, alpha=0.9, t0=3.0, weight_decay=0.05), {}),
    "rprop": ("Rprop", dict(lr=0.01), {}),
    "rprop_all": ("Rprop", dict(lr=0.01, etas=(0.4, 1.1), step_sizes=(0.004, 0.02)), {}),
    "clip_norm_inf": ("SGD", dict(lr=0.3), {"clip_norm": 0.05, "norm_type": "inf"}),
    "clip_norm_3": ("SGD", dict(lr=0.3), {"clip_norm": 0.1, "norm_type": 3.0}),
    "clip_value": ("SGD", dict(lr=0.3), {"clip_value": 0.02}),
}


def train(name, dtype, file):
    kind, kwargs, extra = OPTIMIZERS[name]
    w = {n: file[f"init.{n}"].to(dtype, copy=True).requires_grad_() for n in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")}
    optimizer = getattr(torch.optim, kind)(list(w.values()), **kwargs)
    losses, saved = [], {}
    for step in range(STEPS):
        x, y = file[f"batch{step % 5}.x"].to(dtype), file[f"batch{step % 5}.y"].long()
        h = torch.tanh(torch.nn.functional.linear(x, w["fc1.weight"], w["fc1.bias"]))
        loss = torch.nn.functional.cross_entropy(torch.nn.functional.linear(h, w["fc2.weight"], w["fc2.bias"]), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        if "clip_norm" in extra:
            torch.nn.utils.clip_grad_norm_(w.values(), extra["clip_norm"], float(extra["norm_type"]))
        if "clip_value" in extra:
            torch.nn.utils.clip_grad_value_(w.values(), extra["clip_value"])
        optimizer.step()
        point = {1: "step1", 2: "step2", 5: "step5", STEPS: "final"}.get(step + 1)
        if point:
            saved |= {f"{name}.{point}.{n}": t.detach().float().clone() for n, t in w.items()}
    return losses, saved


def optimizers():
    file = load_file(DATA / "trajectories/optimizers.safetensors")
    keep = {n: t for n, t in file.items() if n.startswith(("init.", "batch"))}
    runs = {}
    for name, (kind, kwargs, extra) in OPTIMIZERS.items():
        losses, saved = train(name, torch.float64, file)
        losses32, saved32 = train(name, torch.float32, file)
        off = max(abs(a - b) for a, b in zip(losses, losses32))
        weights_off = max((saved[n] - saved32[n]).abs().max().item() for n in saved)
        atol = {"loss": max(3e-6, 5 * off), "weights": max(3e-6, 5 * weights_off)}
        print(f"{name:20} float32 is off by {off:.1e} and {weights_off:.1e}")
        keep |= saved
        runs[name] = dict(optimizer=kind, kwargs=kwargs, extra=extra, steps=STEPS, loss64=losses, atol=atol)
    save_file(keep, DATA / "trajectories/optimizers_more.safetensors")
    return {"file": "trajectories/optimizers_more.safetensors", "runs": runs}


METRICS = [1.0, 0.9, 0.95, 0.9, 0.8999, 0.92, 0.7, 0.71, 0.72, 0.73, 0.74, 0.6, 0.65, 0.7, 0.7, 0.7, 0.7, 0.7, 0.5, 0.6]
METRICS += [0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
SCHEDULES = {
    "StepLR": lambda o: s.StepLR(o, 4, gamma=0.5),
    "MultiStepLR": lambda o: s.MultiStepLR(o, [3, 3, 11, 20], gamma=0.3),
    "ConstantLR": lambda o: s.ConstantLR(o, factor=0.2, total_iters=7),
    "LinearLR": lambda o: s.LinearLR(o, start_factor=0.25, end_factor=0.9, total_iters=8),
    "ExponentialLR": lambda o: s.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: s.PolynomialLR(o, total_iters=12, power=1.7),
    "CosineAnnealingLR": lambda o: s.CosineAnnealingLR(o, 7, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda o: s.CosineAnnealingWarmRestarts(o, 4, T_mult=2, eta_min=0.001),
    "CosineAnnealingWarmRestarts_even": lambda o: s.CosineAnnealingWarmRestarts(o, 6),
    "LambdaLR": lambda o: s.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)]),
    "MultiplicativeLR": lambda o: s.MultiplicativeLR(o, lambda e: 0.9 + 0.01 * (e % 3)),
    "OneCycleLR": lambda o: s.OneCycleLR(o, [0.3, 0.1], total_steps=30),
    "OneCycleLR_three": lambda o: s.OneCycleLR(
        o, 0.3, total_steps=30, pct_start=0.2, anneal_strategy="linear", three_phase=True, base_momentum=0.7,
        max_momentum=0.9, div_factor=10.0, final_div_factor=100.0),
    "CyclicLR_triangular": lambda o: s.CyclicLR(o, 0.01, 0.2, step_size_up=5, step_size_down=3),
    "CyclicLR_triangular2": lambda o: s.CyclicLR(o, [0.01, 0.02], [0.2, 0.3], step_size_up=4, mode="triangular2"),
    "CyclicLR_exp_range": lambda o: s.CyclicLR(
        o, 0.01, 0.2, step_size_up=4, mode="exp_range", gamma=0.97, base_momentum=0.6, max_momentum=0.95),
    "CyclicLR_scale_fn": lambda o: s.CyclicLR(
        o, 0.01, 0.2, step_size_up=4, scale_fn=lambda x: 1 / (5 ** (x * 0.1)), scale_mode="iterations",
        cycle_momentum=False),
    "SequentialLR": lambda o: s.SequentialLR(
        o, [s.LinearLR(o, start_factor=0.1, total_iters=5), s.CosineAnnealingLR(o, 10), s.ExponentialLR(o, 0.8)], [5, 18]),
    "SequentialLR_restarts": lambda o: s.SequentialLR(
        o, [s.ConstantLR(o, factor=0.1, total_iters=3), s.CosineAnnealingWarmRestarts(o, 4), s.StepLR(o, 3)], [4, 14]),
    "ChainedScheduler": lambda o: s.ChainedScheduler([s.ConstantLR(o, factor=0.1, total_iters=4), s.ExponentialLR(o, 0.9)]),
    "ReduceLROnPlateau": lambda o: s.ReduceLROnPlateau(o, factor=0.5, patience=2),
    "ReduceLROnPlateau_all": lambda o: s.ReduceLROnPlateau(
        o, mode="max", factor=0.3, patience=1, threshold=0.05, threshold_mode="abs", cooldown=2, min_lr=[0.01, 0.001]),
}


def schedules():
    runs = {}
    for name, make in SCHEDULES.items():
        a, b = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
        o = torch.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.05}], lr=0.2, momentum=0.9)
        schedule, lrs, momentums = make(o), [], []
        for step in range(30):
            lrs.append([g["lr"] for g in o.param_groups])
            momentums.append(o.param_groups[1]["momentum"])
            o.step()
            schedule.step(*([METRICS[step]] if name.startswith("Reduce") else []))
        runs[name] = {"lr": lrs}
        if len(set(momentums)) > 1:
            runs[name]["momentum"] = momentums
    return {"metrics": METRICS, "runs": runs}


if __name__ == "__main__":
    content = {"torch": torch.__version__.split("+")[0], "optimizers": optimizers(), "schedules": schedules()}
    (DATA / "trajectories_more.json").write_text(json.dumps(content, indent=1) + "\n")
