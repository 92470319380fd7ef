"""Makes the ONNX files of this folder. Needs the packages `onnx` (1.23) and `numpy`; run it in this folder.

Weights of models with external data are not made here: the tests write `weights.bin` beside the model.
"""

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor as F
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

rng = np.random.default_rng(7)


def save(name, nodes, inputs, outputs, weights, opset=17, ir=8, **more):
    graph = h.make_graph(nodes, name, inputs, outputs, weights, **more)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=ir, producer_name="make.py")
    if not any(w.data_location == T.EXTERNAL for w in weights):
        onnx.checker.check_model(model)
    with open(f"{name}.onnx", "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


def value(name, shape, kind=T.FLOAT):
    return h.make_tensor_value_info(name, kind, shape)


def inline(name, *shape):
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[1:])
    return nh.from_array((rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32), name)


class External:
    """Tensors one after the other in `weights.bin`."""

    def __init__(self):
        self.end = 0

    def __call__(self, name, *shape):
        tensor = T(name=name, data_type=T.FLOAT, dims=shape, data_location=T.EXTERNAL)
        size = 4 * int(np.prod(shape))
        for key, entry in (("location", "weights.bin"), ("offset", self.end), ("length", size)):
            tensor.external_data.add(key=key, value=str(entry))
        self.end += size
        return tensor


def mlp():
    nodes = [
        h.make_node("Gemm", ["x", "w1", "b1"], ["h"], "first", transB=1),
        h.make_node("Relu", ["h"], ["r"], "relu"),
        h.make_node("MatMul", ["r", "w2"], ["m"], "second"),
        h.make_node("Add", ["m", "b2"], ["y"], "bias"),
    ]
    w1 = nh.from_array((rng.standard_normal((48, 32)) / 6).astype(np.float32), "w1")
    weights = [w1, inline("b1", 48), inline("w2", 48, 10), inline("b2", 10)]
    save("mlp", nodes, [value("x", ["n", 32])], [value("y", ["n", 10])], weights, opset=11, ir=8)


def conv():
    nodes = [
        h.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        h.make_node("Relu", ["c1"], ["r1"], "relu1"),
        h.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", pads=[1, 1, 1, 1], strides=[2, 2]),
        h.make_node("Relu", ["c2"], ["r2"], "relu2"),
        h.make_node("GlobalAveragePool", ["r2"], ["p"], "pool"),
        h.make_node("Flatten", ["p"], ["f"], "flatten"),
        h.make_node("Gemm", ["f", "w3", "b3"], ["y"], "head"),
    ]
    weights = [inline("w1", 16, 3, 3, 3), inline("b1", 16), inline("w2", 16, 16, 3, 3), inline("b2", 16)]
    weights += [inline("w3", 16, 20), inline("b3", 20)]
    save("conv", nodes, [value("x", ["n", 3, 12, 12])], [value("y", ["n", 20])], weights, opset=13)


def attention_nodes(x, y, prefix, width):
    """Two heads, a residual connection, and a normalization."""
    name = lambda part: prefix + part
    product = lambda a, w, out: h.make_node("MatMul", [a, name(w)], [name(out)], name(w))
    nodes = []
    for part in "qkv":
        nodes += [product(x, "w" + part, part), h.make_node("Reshape", [name(part), "split"], [name(part + "s")])]
        perm = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
        nodes += [h.make_node("Transpose", [name(part + "s")], [name(part + "h")], perm=perm)]
    nodes += [
        h.make_node("MatMul", [name("qh"), name("kh")], [name("scores")]),
        h.make_node("Mul", [name("scores"), "shrink"], [name("shrunk")]),
        h.make_node("Softmax", [name("shrunk")], [name("p")], axis=-1),
        h.make_node("MatMul", [name("p"), name("vh")], [name("mixed")]),
        h.make_node("Transpose", [name("mixed")], [name("turned")], perm=[0, 2, 1, 3]),
        h.make_node("Reshape", [name("turned"), "join"], [name("joined")]),
        product(name("joined"), "wo", "o"),
        h.make_node("Add", [x, name("o")], [name("sum")]),
        h.make_node("LayerNormalization", [name("sum"), "gain"], [y], epsilon=1e-5),
    ]
    constants = [
        nh.from_array(np.array([0, 0, 2, width // 2]), "split"),
        nh.from_array(np.array([0, 0, width]), "join"),
        nh.from_array(np.float32((width / 2) ** -0.5), "shrink"),
        nh.from_array(np.ones(width, np.float32), "gain"),
    ]
    return nodes, constants


def attention(width=64):
    external = External()
    nodes, constants = attention_nodes("x", "y", "", width)
    weights = [external(w, width, width) for w in ("wq", "wk", "wv", "wo")] + constants
    shape = ["n", "t", width]
    save("attention", nodes, [value("x", shape)], [value("y", shape)], weights)


def tied(vocabulary=2700, width=256):
    """As NLLB: 43 % of the weights are a table that is also the output layer. Two layers of four products and one of two."""
    external = External()
    table = external("table", vocabulary, width)
    nodes = [h.make_node("Gather", ["table", "ids"], ["x0"], "embedding")]
    weights, constants = [table], []
    for layer in range(2):
        prefix = f"l{layer}_"
        more, constants = attention_nodes(f"x{layer}", f"x{layer}a", prefix, width)
        nodes += more + [
            h.make_node("MatMul", [f"x{layer}a", prefix + "up"], [prefix + "u"], prefix + "up"),
            h.make_node("Relu", [prefix + "u"], [prefix + "r"]),
            h.make_node("MatMul", [prefix + "r", prefix + "down"], [f"x{layer + 1}"], prefix + "down"),
        ]
        weights += [external(prefix + w, width, width) for w in ("wq", "wk", "wv", "wo")]
        weights += [external(prefix + "up", width, 3 * width // 2), external(prefix + "down", 3 * width // 2, width)]
    nodes += [
        h.make_node("Transpose", ["table"], ["turned_table"], "turn", perm=[1, 0]),
        h.make_node("MatMul", ["x2", "turned_table"], ["logits"], "head"),
    ]
    inputs = [value("ids", ["n", "t"], T.INT64)]
    save("tied", nodes, inputs, [value("logits", ["n", "t", vocabulary])], weights + constants)


def branch():
    """Both branches multiply with a matrix of the main graph; one also with its own, which is a `Constant` node."""
    then = h.make_graph([h.make_node("MatMul", ["x", "w"], ["a"], "then")], "yes", [], [value("a", ["n", 16])])
    own = nh.from_array((rng.standard_normal((16, 16)) / 4).astype(np.float32), "own")
    otherwise = h.make_graph(
        [
            h.make_node("MatMul", ["x", "w"], ["s"]),
            h.make_node("Tanh", ["s"], ["t"]),
            h.make_node("MatMul", ["t", "own"], ["b"], "else"),
        ],
        "no",
        [],
        [value("b", ["n", 16])],
        [own],
    )
    nodes = [
        h.make_node("Constant", [], ["w"], value=nh.from_array((rng.standard_normal((16, 16)) / 4).astype(np.float32))),
        h.make_node("If", ["flag"], ["y"], "if", then_branch=then, else_branch=otherwise),
    ]
    inputs = [value("flag", [], T.BOOL), value("x", ["n", 16])]
    save("branch", nodes, inputs, [value("y", ["n", 16])], [])


def norm():
    """A layer normalization in single steps, and operators whose axes were attributes."""
    nodes = [
        h.make_node("MatMul", ["x", "w1"], ["h"]),
        h.make_node("ReduceMean", ["h"], ["mean"], axes=[-1]),
        h.make_node("Sub", ["h", "mean"], ["centred"]),
        h.make_node("Pow", ["centred", "two"], ["squares"]),
        h.make_node("ReduceMean", ["squares"], ["variance"], axes=[-1]),
        h.make_node("Add", ["variance", "epsilon"], ["safe"]),
        h.make_node("Sqrt", ["safe"], ["deviation"]),
        h.make_node("Div", ["centred", "deviation"], ["normal"]),
        h.make_node("Unsqueeze", ["normal"], ["wide"], axes=[0]),
        h.make_node("Squeeze", ["wide"], ["narrow"], axes=[0]),
        h.make_node("Softmax", ["narrow"], ["p"], axis=-1),
        h.make_node("MatMul", ["p", "w2"], ["y"]),
    ]
    weights = [inline("w1", 16, 16), inline("w2", 16, 16)]
    weights += [nh.from_array(np.float32(2), "two"), nh.from_array(np.float32(1e-12), "epsilon")]
    save("norm", nodes, [value("x", ["n", 16])], [value("y", ["n", 16])], weights, opset=11)


def old():
    nodes = [h.make_node("MatMul", ["x", "w"], ["m"]), h.make_node("Softmax", ["m"], ["y"])]
    save("old", nodes, [value("x", ["n", 16])], [value("y", ["n", 16])], [inline("w", 16, 16)], opset=9, ir=4)


def fill(message, depth, salt):
    """Sets every field, recursive ones until the depth runs out, and every case of a choice in turn."""
    for number, field in enumerate(message.DESCRIPTOR.fields):
        repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == F.LABEL_REPEATED
        choice = field.containing_oneof
        if choice is not None and choice.fields[salt % len(choice.fields)] is not field:
            continue
        # Before the choice in the bytes, though after its first case by number: an order of no meaning that is not kept.
        if message.DESCRIPTOR.name == "TypeProto" and field.name == "denotation" and salt % 6 > 2:
            continue
        if field.type == F.TYPE_MESSAGE:
            if depth > 0 and repeated:
                for item in range(6 if "Type" in field.message_type.name or "Dim" in field.message_type.name else 1):
                    fill(getattr(message, field.name).add(), depth - 1, salt + item)
            elif depth > 0:
                getattr(message, field.name).SetInParent()
                fill(getattr(message, field.name), depth - 1, salt)
            continue
        if field.type == F.TYPE_STRING:
            data = f"{field.name} {salt}"
        elif field.type == F.TYPE_BYTES:
            data = bytes([number, salt, 255])
        elif field.type in (F.TYPE_FLOAT, F.TYPE_DOUBLE):
            data = number + 0.5
        elif field.type == F.TYPE_ENUM:
            data = field.enum_type.values[-1].number
        else:
            data = number + 200 if field.type == F.TYPE_UINT64 else -number - 1
        if repeated:
            getattr(message, field.name).extend([data, data])
        else:
            setattr(message, field.name, data)


def everything():
    """Every field of every message of the format, with values that mean nothing."""
    model = onnx.ModelProto()
    fill(model, 4, 0)
    for salt in range(1, 6):
        kind = model.graph.value_info.add(name=str(salt)).type
        fill(kind, 5, salt)
    node = model.graph.node.add()
    fill(node, 5, 1)
    with open("everything.onnx", "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


for make in (mlp, conv, attention, tied, branch, old, norm, everything):
    make()
