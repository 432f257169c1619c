#!/usr/bin/python3
"""ResNet-18 on Fashion-MNIST in PyTorch and in Parley: resnet18.py --bin=FOLDER [--examples=N ...]

Both train the same network on the same examples with the same optimizer, learning rate, number of epochs and batches,
from the same first values, and test on the same examples; once for each seed. So they differ by rounding alone, which
training makes large after some hundred steps. Prints both accuracies and the difference of their means.

Needs torch and numpy (CPU is enough) in the Python that runs it, and Parley's programs: --bin=bazel-bin, after
"bazel build //deploy:parley //ps:parley_ps //worker:parley_worker".
"""

import argparse
import gzip
import json
import math
import os
import subprocess
import tempfile
import time

import numpy
import torch
from torch import nn
from torch.nn import functional as F


def read_idx(path, dimensions):
    with gzip.open(path) as file:
        data = numpy.frombuffer(file.read(), numpy.uint8)
    header = 4 + 4 * dimensions
    return data[header:].reshape([int.from_bytes(data[4 + 4 * i : 8 + 4 * i].tobytes(), "big") for i in range(dimensions)])


def read(folder, part, count):
    """Images [count, 1, 32, 32] in [0, 1], with a border of zeros, and labels."""
    images = read_idx(f"{folder}/{part}-images-idx3-ubyte.gz", 3)[:count]
    labels = read_idx(f"{folder}/{part}-labels-idx1-ubyte.gz", 1)[:count]
    images = numpy.pad(images, ((0, 0), (2, 2), (2, 2))).astype(numpy.float32) / 255
    return torch.from_numpy(images[:, None]), torch.from_numpy(labels.astype(numpy.int64))


def philox(key, stream, index):
    """Words 0 and 1 of Philox4x32-10 (base/philox.cc) for an array of indices, as uint64."""
    mask = numpy.uint64(0xFFFFFFFF)
    shift = numpy.uint64(32)
    keys = [key & 0xFFFFFFFF, key >> 32]
    index = numpy.asarray(index, numpy.uint64)
    words = [index & mask, index >> shift, numpy.full_like(index, stream & 0xFFFFFFFF), numpy.full_like(index, stream >> 32)]
    for _ in range(10):
        low, high = numpy.uint64(0xD2511F53) * words[0], numpy.uint64(0xCD9E8D57) * words[2]
        words = [(high >> shift) ^ words[1] ^ numpy.uint64(keys[0]), high & mask,
                 (low >> shift) ^ words[3] ^ numpy.uint64(keys[1]), low & mask]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words[0], words[1]


def stream_of(name):
    hashed = 0xCBF29CE484222325
    for byte in name.encode():
        hashed = (hashed ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return hashed


def first_values(seed, name, shape, uniform_bound=None, deviation=None):
    """What Parley's initializers (base/initializer.cc) give a parameter."""
    words = philox(seed, stream_of(name), numpy.arange(math.prod(shape)))
    if uniform_bound is not None:
        uniform = (words[0] >> numpy.uint64(8)).astype(numpy.float32) * numpy.float32(2.0**-24)
        values = 2 * uniform_bound * uniform - uniform_bound
    else:
        u, v = (words[0].astype(float) + 1) * 2.0**-32, words[1].astype(float) * 2.0**-32
        values = deviation * numpy.sqrt(-2 * numpy.log(u)) * numpy.cos(2 * math.pi * v)
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))


def order_of(seed, epoch, examples):
    """The permutation of an epoch (data/sampler.cc)."""
    low, high = philox(seed, epoch, numpy.arange(examples))
    order = list(range(examples))
    for i in range(examples - 1, 0, -1):
        j = ((int(high[i]) << 32 | int(low[i])) * (i + 1)) >> 64
        order[i], order[j] = order[j], order[i]
    return torch.tensor(order)


class Block(nn.Module):
    def __init__(self, stride, inputs, outputs):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


class Resnet18(nn.Sequential):
    """nn/models/resnet.cc, layer by layer, with the same first values."""

    def __init__(self, seed):
        layers = [nn.Conv2d(1, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        inputs = 64
        for width in (64, 128, 256, 512):
            layers += [Block(1 if width == 64 else 2, inputs, width), Block(1, width, width)]
            inputs = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
        super().__init__(*layers)
        convolutions = [("stem", "", layers[0])]
        for i, block in enumerate(layers[3:11]):
            name = f"stage{i // 2 + 1}/block{i % 2 + 1}"
            convolutions += [(name, "1", block.body[0]), (name, "2", block.body[3])]
            if not isinstance(block.shortcut, nn.Identity):
                convolutions.append((name + "/shortcut", "", block.shortcut[0]))
        with torch.no_grad():
            for prefix, number, layer in convolutions:
                outputs, inputs, height, width = layer.weight.shape
                values = first_values(seed, f"{prefix}/conv{number}/filter", (height, width, inputs, outputs),
                                      deviation=math.sqrt(2 / (height * width * inputs)))
                layer.weight.copy_(values.permute(3, 2, 0, 1))
            bound = math.sqrt(6 / (512 + 10))
            layers[-1].weight.copy_(first_values(seed, "dense/kernel", (512, 10), uniform_bound=bound).T)
            layers[-1].bias.zero_()


def train_torch(options, seed):
    torch.set_num_threads(options.threads)
    images, labels = read(options.data_dir, "train", options.examples)
    test_images, test_labels = read(options.data_dir, "t10k", options.test_examples)
    model = Resnet18(seed)
    optimizer = torch.optim.SGD(model.parameters(), options.learning_rate, momentum=0.9)
    began = time.monotonic()
    for epoch in range(options.epochs):
        order = order_of(seed, epoch, len(labels))
        model.train()
        for begin in range(0, len(labels) - options.batch_size + 1, options.batch_size):
            batch = order[begin : begin + options.batch_size]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            if options.losses:
                print(f"PyTorch: loss {loss.item():.4f}", flush=True)
    seconds = time.monotonic() - began
    model.eval()
    with torch.no_grad():
        correct = sum((model(test_images[i : i + 200]).argmax(1) == test_labels[i : i + 200]).sum().item()
                      for i in range(0, len(test_labels), 200))
    return correct / len(test_labels), seconds


def train_parley(options, seed):
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    with tempfile.TemporaryDirectory() as folder:
        summary = os.path.join(folder, "summary.json")
        subprocess.run(
            [f"{options.bin}/deploy/parley", "launch", "--ps=1", "--workers=1", "--", "--model=resnet18",
             f"--data_dir={options.data_dir}", f"--max_train_examples={options.examples}",
             f"--max_test_examples={options.test_examples}", f"--epochs={options.epochs}",
             f"--batch_size={options.batch_size}", "--optimizer=momentum", "--momentum=0.9",
             f"--learning_rate={options.learning_rate}", f"--seed={seed}", "--timeout=30m",
             f"--summary_json={summary}"],
            check=True, stdout=None if options.losses else subprocess.DEVNULL, env=environment)
        with open(summary, encoding="utf-8") as file:
            result = json.load(file)
    return result["accuracy"], result["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="the folder with deploy/parley, ps/parley_ps, worker/parley_worker")
    parser.add_argument("--data_dir", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--test_examples", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=50)
    parser.add_argument("--learning_rate", type=float, default=0.02)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--losses", action="store_true", help="print the losses of the steps as they come")
    options = parser.parse_args()
    print(f"ResNet-18, {options.examples} examples, {options.epochs} epochs, batches of {options.batch_size}, "
          f"learning rate {options.learning_rate}, momentum 0.9, torch {torch.__version__}")
    print("| seed | PyTorch | seconds | Parley | seconds |\n|---|---|---|---|---|")
    sums = [0.0, 0.0]
    for seed in range(1, options.seeds + 1):
        results = train_torch(options, seed), train_parley(options, seed)
        sums = [total + accuracy for total, (accuracy, _) in zip(sums, results)]
        cells = " | ".join(f"{100 * accuracy:.2f}% | {seconds:.0f}" for accuracy, seconds in results)
        print(f"| {seed} | {cells} |", flush=True)
    means = [100 * total / options.seeds for total in sums]
    print(f"mean: PyTorch {means[0]:.2f}%, Parley {means[1]:.2f}%, difference {means[1] - means[0]:+.2f} points")


if __name__ == "__main__":
    main()
