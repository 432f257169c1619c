#!/usr/bin/env python3
"""Records what PyTorch computes for small cases of every layer and loss, for nn/recorded/recorded_test.cc.

    python3 -m venv /somewhere && /somewhere/bin/pip install torch numpy
    /somewhere/bin/python tools/record_torch_layers.py     # writes nn/recorded/layers.txt and losses.txt

Inputs and parameters are random multiples of 1/32, exact in float32; everything is computed in float64, so that the
numbers are PyTorch's functions and not its rounding. Tensors are written in Parley's layouts: images NHWC, filters
HWIO, kernels [inputs, outputs]. A file has lines

    case NAME
    KEY DIMENSIONS VALUES...

where KEY is x (the input; ids of an embedding), y (the output), dy (the gradient of y, random), dx (that of x),
p:NAME and g:NAME (a parameter and its gradient), a:NAME (a moving statistic after the step); or, of losses, x,
target, loss and dx. DIMENSIONS are joined by "x"; "-" means a scalar.
"""

import os

import torch
from torch import nn

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
random = torch.Generator().manual_seed(7)


def numbers(*shape):
    return torch.randint(-64, 65, shape, generator=random).double() / 32


def apart(*shape):
    """Values of which no two are equal, nor 0."""
    count = int(torch.tensor(shape).prod())
    return ((torch.randperm(count, generator=random) - count // 2).double() / 16 + 1 / 32).reshape(shape)


def images(x):
    """NHWC of NCHW."""
    return x.permute(0, 2, 3, 1)


def filters(w):
    """HWIO of OIHW."""
    return w.permute(2, 3, 1, 0)


def transposed(w):
    return w.t()


def same(w):
    return w


def pooled(x):
    """[batch, channels] of NCHW with one place."""
    return x.reshape(x.shape[0], -1)


class File:
    def __init__(self, path, what):
        self.path = path
        self.lines = [
            f"# {what} recorded by tools/record_torch_layers.py from PyTorch {torch.__version__}, in float64."
        ]

    def case(self, name):
        self.lines.append(f"case {name}")

    def tensor(self, key, value):
        value = value.detach()
        shape = "x".join(str(size) for size in value.shape) or "-"
        values = " ".join(f"{each:.9g}" for each in value.reshape(-1).tolist())
        self.lines.append(f"{key} {shape} {values}")

    def write(self):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("\n".join(self.lines) + "\n")


def set_parameters(module):
    """Small random values; variances stay positive."""
    for parameter in module.parameters():
        parameter.data = numbers(*parameter.shape) / 2
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(numbers(*buffer.shape) / 2)
        if name.endswith("running_var"):
            buffer.copy_(numbers(*buffer.shape).abs() / 2 + 0.5)


def record(file, name, function, x, parameters=(), of_x=same, of_y=same, after=()):
    """One case: `parameters` and `after` are (Parley's name, a function that finds the tensor, its layout)."""
    file.case(name)
    file.tensor("x", of_x(x))
    for key, find, layout in list(parameters) + list(after):
        file.tensor("p:" + key, layout(find()))
    if x.is_floating_point():
        x = x.clone().requires_grad_()
    y = function(x)
    dy = numbers(*y.shape)
    (y * dy).sum().backward()
    file.tensor("y", of_y(y))
    file.tensor("dy", of_y(dy))
    if x.is_floating_point():
        file.tensor("dx", of_x(x.grad))
    for key, find, layout in parameters:
        file.tensor("g:" + key, layout(find.gradient()))
    for key, find, layout in after:
        file.tensor("a:" + key, layout(find()))


class Of:
    """A parameter or buffer of a module, or rows of it."""

    def __init__(self, owner, name, rows=slice(None)):
        self.owner, self.name, self.rows = owner, name, rows

    def __call__(self):
        return getattr(self.owner, self.name).detach().clone()[self.rows]

    def gradient(self):
        return getattr(self.owner, self.name).grad[self.rows]


def dense_parameters(module, name):
    return [(name + "/kernel", Of(module, "weight"), transposed), (name + "/bias", Of(module, "bias"), same)]


def norm_parameters(module, name):
    return [(name + "/gamma", Of(module, "weight"), same), (name + "/beta", Of(module, "bias"), same)]


def moving(module, name):
    return [
        (name + "/moving_mean", Of(module, "running_mean"), same),
        (name + "/moving_variance", Of(module, "running_var"), same),
    ]


class BasicBlock(nn.Module):
    """He et al., 2016, with a projection."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut_conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.shortcut_norm(self.shortcut_conv(x)))


def layers(path):
    file = File(path, "Layers")

    module = nn.Linear(4, 3)
    set_parameters(module)
    record(file, "dense", module, numbers(2, 3, 4), dense_parameters(module, "layer"))

    for name, shape, (inputs, outputs, size, stride, padding), bias in [
        ("conv2d_3x3_padding_1", (2, 2, 4, 5), (2, 3, 3, 1, 1), True),
        ("conv2d_3x3_stride_2_padding_1", (2, 2, 5, 6), (2, 3, 3, 2, 1), True),
        ("conv2d_5x5", (1, 1, 6, 7), (1, 2, 5, 1, 0), True),
        ("conv2d_1x1_stride_2_without_bias", (2, 3, 4, 4), (3, 2, 1, 2, 0), False),
    ]:
        module = nn.Conv2d(inputs, outputs, size, stride, padding, bias=bias)
        set_parameters(module)
        parameters = [("layer/filter", Of(module, "weight"), filters)]
        if bias:
            parameters.append(("layer/bias", Of(module, "bias"), same))
        record(file, name, module, numbers(*shape), parameters, images, images)

    for name, module, of_y in [
        ("max_pool2d_2x2_stride_2", nn.MaxPool2d(2), images),
        ("max_pool2d_3x3_stride_2_padding_1", nn.MaxPool2d(3, 2, 1), images),
        ("avg_pool2d_2x2_stride_2", nn.AvgPool2d(2), images),
        ("avg_pool2d_3x3_stride_2_padding_1", nn.AvgPool2d(3, 2, 1), images),
        ("global_avg_pool2d", nn.AdaptiveAvgPool2d(1), pooled),
    ]:
        record(file, name, module, apart(2, 2, 5, 6), (), images, of_y)

    for name in ["batch_norm2d_training", "batch_norm2d_evaluation"]:
        module = nn.BatchNorm2d(3)
        set_parameters(module)
        module.train(name.endswith("training"))
        record(file, name, module, numbers(2, 3, 3, 4), norm_parameters(module, "layer"), images, images,
               moving(module, "layer"))

    module = nn.LayerNorm(5)
    set_parameters(module)
    record(file, "layer_norm", module, numbers(2, 3, 5), norm_parameters(module, "layer"))

    module = nn.Embedding(6, 3)
    set_parameters(module)
    ids = torch.randint(0, 6, (2, 4), generator=random)
    record(file, "embedding", module, ids, [("layer/table", Of(module, "weight"), same)])

    # One bias here: PyTorch's second one stays 0.
    module = nn.LSTM(3, 4, batch_first=True)
    set_parameters(module)
    module.bias_hh_l0.data.zero_()
    record(file, "lstm", lambda x: module(x)[0], numbers(2, 3, 3), [
        ("layer/kernel", Of(module, "weight_ih_l0"), transposed),
        ("layer/recurrent_kernel", Of(module, "weight_hh_l0"), transposed),
        ("layer/bias", Of(module, "bias_ih_l0"), same),
    ])

    module = nn.GRU(3, 4, batch_first=True)
    set_parameters(module)
    record(file, "gru", lambda x: module(x)[0], numbers(2, 3, 3), [
        ("layer/kernel", Of(module, "weight_ih_l0"), transposed),
        ("layer/recurrent_kernel", Of(module, "weight_hh_l0"), transposed),
        ("layer/bias", Of(module, "bias_ih_l0"), same),
        ("layer/recurrent_bias", Of(module, "bias_hh_l0"), same),
    ])

    for name, mask in [("multi_head_attention", None), ("multi_head_attention_causal", torch.ones(3, 3).triu(1) > 0)]:
        width = 6
        module = nn.MultiheadAttention(width, 2, batch_first=True)
        set_parameters(module)
        parameters = []
        for i, part in enumerate(["query", "key", "value"]):
            rows = slice(i * width, (i + 1) * width)
            parameters.append((f"layer/{part}/kernel", Of(module, "in_proj_weight", rows), transposed))
            parameters.append((f"layer/{part}/bias", Of(module, "in_proj_bias", rows), same))
        parameters += dense_parameters(module.out_proj, "layer/output")
        record(file, name, lambda x: module(x, x, x, attn_mask=mask, need_weights=False)[0], numbers(2, 3, width),
               parameters)

    for name, function in [
        ("relu", torch.relu),
        ("leaky_relu", nn.LeakyReLU(0.2)),
        ("sigmoid", torch.sigmoid),
        ("tanh", torch.tanh),
        ("gelu", nn.GELU()),
        ("softmax", nn.Softmax(-1)),
    ]:
        record(file, name, function, apart(3, 7))

    for name in ["residual_block_training", "residual_block_evaluation"]:
        module = BasicBlock(2, 3, 2)
        set_parameters(module)
        module.train(name.endswith("training"))
        parameters = []
        statistics = []
        for part, conv, norm in [("1", module.conv1, module.norm1), ("2", module.conv2, module.norm2),
                                 ("_shortcut", module.shortcut_conv, module.shortcut_norm)]:
            parameters.append((f"conv{part}/filter", Of(conv, "weight"), filters))
            parameters += norm_parameters(norm, "norm" + part)
            statistics += moving(norm, "norm" + part)
        record(file, name, module, numbers(2, 2, 4, 4), parameters, images, images, statistics)
    file.write()


def losses(path):
    file = File(path, "Losses")
    for name, loss, x, target in [
        ("mean_squared_error", nn.MSELoss(), numbers(4, 3), numbers(4, 3)),
        ("softmax_cross_entropy", nn.CrossEntropyLoss(), 3 * numbers(5, 4),
         torch.randint(0, 4, (5,), generator=random)),
        ("binary_cross_entropy", nn.BCEWithLogitsLoss(), 8 * numbers(6, 2), numbers(6, 2).abs() / 2),
        # Of logarithms of probabilities that the case makes of x.
        ("kl_divergence", lambda x, t: nn.functional.kl_div(torch.log_softmax(x, -1), t, reduction="batchmean"),
         numbers(4, 3), torch.tensor([[0.5, 0.25, 0.25], [0, 0.125, 0.875], [1, 0, 0], [0.25, 0.5, 0.25]])),
    ]:
        file.case(name)
        file.tensor("x", x)
        file.tensor("target", target)
        x.requires_grad_()
        y = loss(x, target)
        y.backward()
        file.tensor("loss", y)
        file.tensor("dx", x.grad)
    file.write()


if __name__ == "__main__":
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "nn", "recorded")
    layers(os.path.join(folder, "layers.txt"))
    losses(os.path.join(folder, "losses.txt"))
