"""Whole programs on PyTorch: an MLP, a CNN, matrix products, start-up, chains of additions.

Needs FASHION_MNIST=<folder of the four IDX .gz files>. BENCH_THREADS: 2 unless said otherwise; FUSED=1: Adam in one kernel.

usage: python bench.py <w1|acc|w2|w3|w4|w5|mem> [batch or size] [steps] [adam|adadelta]
"""
import gzip
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(int(os.environ.get("BENCH_THREADS", "2")))


def rss(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) / 1024


def load(stem):
    d = os.environ["FASHION_MNIST"]
    with gzip.open(f"{d}/{stem}-images-idx3-ubyte.gz") as f:
        x = torch.frombuffer(bytearray(f.read()[16:]), dtype=torch.uint8)
    with gzip.open(f"{d}/{stem}-labels-idx1-ubyte.gz") as f:
        y = torch.frombuffer(bytearray(f.read()[8:]), dtype=torch.uint8)
    return x.float().div_(255).reshape(-1, 784), y.long()


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1),
        nn.Flatten(), nn.Linear(4608, 64), nn.ReLU(), nn.Dropout(0.25), nn.Linear(64, 10), nn.LogSoftmax(1),
    )


def loop(model, opt, loss_fn, x, y, b, start, n, shape=None):
    last = None
    for i in range(start, start + n):
        s = (i * b) % (len(y) - b + 1)
        xb = x[s:s + b].clone()
        if shape:
            xb = xb.reshape(b, *shape)
        loss = loss_fn(model(xb), y[s:s + b].clone())
        opt.zero_grad()
        loss.backward()
        opt.step()
        if (i + 1) % 100 == 0 or i + 1 == start + n:
            last = loss.item()
    return last


def main():
    what = sys.argv[1]
    arg = lambda i, d: int(sys.argv[i]) if len(sys.argv) > i else d
    tag = f"torch {torch.__version__} {torch.get_num_threads()}t {what}"
    if what in ("w1", "acc", "mem", "w2"):
        x, y = load("train")
    if what in ("w1", "acc", "mem"):
        b = arg(2, 64)
        m = mlp()
        opt = torch.optim.Adam(m.parameters(), lr=1e-3, foreach=os.environ.get("FOREACH") == "1" or None,
                               fused=True if os.environ.get("FUSED") == "1" else None)
        if what == "w1":
            n = arg(3, 300)
            loop(m, opt, F.cross_entropy, x, y, b, 0, 30)
            t = time.perf_counter()
            last = loop(m, opt, F.cross_entropy, x, y, b, 30, n)
            s = time.perf_counter() - t
            print(f"{tag} batch {b}: {n / s:.2f} steps/s loss {last:.4f} rss {rss('VmRSS'):.0f} peak {rss('VmHWM'):.0f}")
        elif what == "mem":
            at = 0
            for n in (100, 475, 475, 475, 475):
                t = time.perf_counter()
                loop(m, opt, F.cross_entropy, x, y, b, at, n)
                at += n
                print(f"{tag} step {at}: rss {rss('VmRSS'):.1f} MB, {n / (time.perf_counter() - t):.2f} steps/s")
        else:
            t = time.perf_counter()
            last = loop(m, opt, F.cross_entropy, x, y, b, 0, 937)
            s = time.perf_counter() - t
            tx, ty = load("t10k")
            with torch.no_grad():
                acc = (m(tx).argmax(1) == ty).float().mean().item() * 100
            print(f"{tag}: 1 epoch {s:.1f}s loss {last:.4f} test accuracy {acc:.2f}%")
    elif what == "w2":
        b = arg(2, 32)
        n = arg(3, 100)
        name = sys.argv[4] if len(sys.argv) > 4 else "adadelta"
        m = cnn()
        opt = torch.optim.Adadelta(m.parameters(), lr=0.5) if name == "adadelta" else torch.optim.Adam(m.parameters(), lr=1e-3)
        loop(m, opt, F.nll_loss, x, y, b, 0, 10, (1, 28, 28))
        t = time.perf_counter()
        last = loop(m, opt, F.nll_loss, x, y, b, 10, n, (1, 28, 28))
        s = time.perf_counter() - t
        print(f"{tag} batch {b} ({name}): {n / s:.2f} steps/s loss {last:.4f} rss {rss('VmRSS'):.0f} peak {rss('VmHWM'):.0f}")
    elif what == "w3":
        n = arg(2, 512)
        it = arg(3, max(20_000_000_000 // n**3, 20))
        a = (torch.rand(n, n) * 2 - 1) * (3 / n) ** 0.5
        c = torch.rand(n, n) * 2 - 1
        with torch.no_grad():
            for _ in range(4):
                c = a @ c
            t = time.perf_counter()
            for _ in range(it):
                c = a @ c
            s = time.perf_counter() - t
        print(f"{tag} n {n}: {2 * n**3 * it / s / 1e9:.2f} GFLOP/s ({it} products {s:.2f}s) ms {c.pow(2).mean().item():.3e}")
    elif what == "w4":
        m = mlp()
        opt = torch.optim.Adam(m.parameters(), lr=1e-3)
        loss = F.cross_entropy(m(torch.full((64, 784), 0.5)), torch.full((64,), 3))
        loss.backward()
        opt.step()
        l = loss.item()
        print(f"{tag}: first step after {time.time() - float(os.environ['BENCH_T0']):.3f}s loss {l:.3f} peak rss {rss('VmHWM'):.0f} MB")
    elif what == "w5":
        n = arg(2, 1)
        ops = 1000
        y = torch.ones(n)
        x = torch.zeros(n)
        out = []
        with torch.no_grad():
            for r in range(8):
                t = time.perf_counter()
                for _ in range(ops):
                    x = x + y
                if r >= 3:
                    out.append((time.perf_counter() - t) / ops * 1e6)
        out.sort()
        print(f"{tag} n {n}: {out[2]:.2f} us/op median of 5 (min {out[0]:.2f} max {out[-1]:.2f}) value {x[0].item()}")


main()
