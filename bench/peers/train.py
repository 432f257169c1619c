#!/usr/bin/python3
"""What bench/train_bench.cc does, in PyTorch's eager mode: the same layers, batch, steps, measures and JSON line.

train.py --model=NAME --batch=N [--device=cpu] [--dtype=float32] [--layout=channels_last] ...; bench/peers/compare gives all
of it. On a CPU it uses one thread. 16-bit computing is torch.autocast's: parameters stay float32. On a GPU cuDNN looks for
its fastest algorithms.

Needs torch and numpy in the Python that runs it.
"""

import argparse
import json
import time

import torch
from resnet18 import Block
from torch import nn
from torch.nn import functional as F

LEARNING_RATE = 0.01
WIDE = 8192


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        batch, length, width = x.shape
        split = lambda y: y.reshape(batch, length, self.heads, -1).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))


class Transformer(nn.Module):
    """nn/models/transformer.cc"""

    def __init__(self, vocabulary, length, width=256, heads=4, layers=4):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.dense = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)) for _ in range(layers))
        self.output = nn.Linear(width, vocabulary)

    def forward(self, ids):
        x = self.embedding(ids) + self.positions
        for i, (attention, dense) in enumerate(zip(self.attention, self.dense)):
            x = x + attention(self.norms[2 * i](x))
            x = x + dense(self.norms[2 * i + 1](x))
        return self.output(self.norms[-1](x)).flatten(0, 1)


def resnet18():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for width in (64, 128, 256, 512):
        layers += [Block(1 if width == 64 else 2, inputs, width), Block(1, width, width)]
        inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10))


def mlp1g():
    layers = [nn.Linear(WIDE, WIDE)]
    for _ in range(3):
        layers += [nn.ReLU(), nn.Linear(WIDE, WIDE)]
    return nn.Sequential(*layers)


# How it is made, the shape of an example, and the outputs.
MODELS = {
    "mlp": (mlp, (1, 28, 28), 10),
    "cnn": (cnn, (1, 28, 28), 10),
    "transformer": (lambda: Transformer(256, 128), (128,), 256),
    "resnet18": (resnet18, (3, 32, 32), 10),
    "mlp1g": (mlp1g, (WIDE,), WIDE),
}


def memory_mib(field):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field + ":"))


def load_libraries(device):
    """PyTorch reads its libraries when they are first used: that is no memory of the model's."""
    images = torch.randn(2, 4, 8, 8, device=device)
    layers = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 4))
    loss = F.cross_entropy(layers.to(device)(images), torch.zeros(2, dtype=torch.long, device=device))
    loss.backward()
    torch.optim.SGD(layers.parameters(), 0.01).step()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, choices=MODELS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--tf32", action="store_true", help="as train_bench's, for products and convolutions")
    parser.add_argument("--layout", default="contiguous", choices=("contiguous", "channels_last"), help="of images")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--warm_up", type=int, default=1, help="steps before those that are measured")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--group", type=int, default=1, help="steps in a group")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    torch.backends.cudnn.allow_tf32 = options.tf32
    torch.backends.cudnn.benchmark = True
    load_libraries(options.device)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # forget the peak
    before = memory_mib("VmRSS")

    make, shape, outputs = MODELS[options.model]
    with torch.device(options.device):
        model = make()
        text = options.model == "transformer"
        inputs = torch.randint(outputs, (options.batch, *shape)) if text else torch.rand(options.batch, *shape) * 2 - 1
        samples = inputs.numel() if text else options.batch
        labels = torch.randint(outputs, (samples,))
    if options.layout == "channels_last":
        model, inputs = model.to(memory_format=torch.channels_last), inputs.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    dtype = getattr(torch, options.dtype)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(options.device, dtype=dtype, enabled=dtype != torch.float32):
            loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    def now():
        if options.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.monotonic()

    for _ in range(options.warm_up):
        step()
    seconds = []
    for _ in range(options.groups):
        begin = now()
        for _ in range(options.group):
            loss = step()
        seconds.append((now() - begin) / options.group)
    middle = sorted(seconds)[len(seconds) // 2]
    peak = memory_mib("VmHWM")
    print(json.dumps({
        "benchmark": "train", "case": options.model, "figure": round(samples / middle, 1), "unit": "samples/s",
        "step_ms": round(middle * 1e3, 3), "growth_mib": round(peak - before, 1), "peak_mib": round(peak, 1),
        "loss": round(loss.item(), 4), "torch": torch.__version__, "layout": options.layout}))


if __name__ == "__main__":
    main()
