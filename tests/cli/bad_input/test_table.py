"""Bad input of every kind: who makes it, the command, what the one line on standard error says, and the exit code."""

import sys

import pytest
import torch

import laconic.deploy.export  # noqa: F401  onnxruntime puts a folder of its own on the path, once
from laconic.cli import run

from .folders import contents
from .inputs import (
    WEIGHTS,
    archive,
    array,
    beside,
    blockwise,
    content,
    cut,
    factories,
    flipped,
    folder,
    halves,
    index,
    index_of_others,
    integers,
    lac,
    net,
    network,
    newer,
    pair,
    plan,
    quantized,
    safetensors,
    saved,
    scripted,
    torch_bytes,
)  # fmt: skip

DIGITS = "--net lenet300 --data digits"
COMPRESS = "compress {} -o out.lac --codebook 2"
SAFE, TORCH, NET = (COMPRESS.format(name) for name in ("a.safetensors", "a.pt", "net.safetensors"))
EXPORT, SHRINK = f"export a.lac {DIGITS} -o out.onnx", f"shrink a.lac {DIGITS} -o out.lac"
CHOOSE, PROFILE = "compress net.safetensors -o out.lac --choose", "profile --quick --threads 1 -o"
DECOMPRESS, PLANNED = "decompress a.lac -o out.safetensors", "compress net.safetensors -o out.lac --plan plan.toml"
TRAINED, EVALUATE = f"{NET} --effort train", "evaluate net.safetensors --task"
TASK = f"{EVALUATE} factories_of_tasks"
TRAIN = f"train {DIGITS} -o out.safetensors"
ADVICE = "give package.module:factory, a callable without arguments"
SAVE = "save model.state_dict()"
MODULES = ("factories_of_tasks", "missing_a_package")


def nothing():
    """Nothing is there."""


FILES = {
    "missing": (nothing, SAFE, ["no file a.safetensors"], 1),
    "missing, evaluated": (nothing, f"evaluate a.pt {DIGITS}", ["no file a.pt"], 1),
    "missing, planned": (nothing, "plan a.pt --codebook 2", ["no file a.pt"], 1),
    "missing .lac": (nothing, DECOMPRESS, ["a.lac"], 1),
    "missing, inspected": (nothing, "inspect a.lac", ["a.lac"], 1),
    "missing, exported": (nothing, EXPORT, ["no file a.lac"], 1),
    "missing, shrunk": (nothing, SHRINK, ["no file a.lac"], 1),
    "missing, chosen for": (nothing, f"compress a.pt -o out.lac --choose {DIGITS}", ["no file a.pt"], 1),
    "empty": (content(""), SAFE, ["a.safetensors is empty", "download"], 1),
    "empty .pt": (content("", "a.pt"), TORCH, ["a.pt is empty"], 1),
    "text": (content("To whom it may concern"), SAFE, ["a.safetensors is no checkpoint", "state_dict"], 1),
    "text, evaluated": (content("To whom it may concern"), f"evaluate a.safetensors {DIGITS}", ["is no checkpoint"], 1),
    "ones": (content(b"\xff" * 64), SAFE, ["is no checkpoint"], 1),
    "short": (content(b"1234", "a.pt"), TORCH, ["is no checkpoint"], 1),
    "a .lac": (lac(), COMPRESS.format("a.lac"), ["a.lac is a .lac file", "laconic decompress"], 1),
    "a .lac by another name": (lac(name="a.pt"), TORCH, ["a.pt is a .lac file"], 1),
    "GGUF": (content(b"GGUF\3\0\0\0"), SAFE, ["cannot be read as GGUF", "cut short"], 1),
    "git-lfs": (content("version https://git-lfs.github.com/spec/v1\nsize 9\n"), SAFE, ["git lfs pull"], 1),
    "a web page": (content("\n<!DOCTYPE html><html>", "a.pt"), TORCH, ["is a web page", "download"], 1),
    "a web page without a type": (content("<HTML><body>"), SAFE, ["is a web page"], 1),
    "a server's error": (content("<?xml version='1.0'?><Error/>"), SAFE, ["is an XML page"], 1),
    "an index": (index, COMPRESS.format("model.safetensors.index.json"), ["names 2 files", "model-00001-of-00002"], 1),
    "JSON": (content('{"a": 1}', "config.json"), COMPRESS.format("config.json"), ["is JSON text"], 1),
    "gzip": (content(b"\x1f\x8b\x08\0"), SAFE, ["compressed by gzip", "gunzip"], 1),
    "NumPy": (array, COMPRESS.format("a.npy"), ["is a NumPy array"], 1),
    "HDF5": (content(b"\x89HDF\r\n\x1a\n"), SAFE, ["is an HDF5 file"], 1),
    "a folder": (folder("model.safetensors", "config.json"), COMPRESS.format("hf"), ["hf/config.json is no JSON"], 1),
    "a folder of several": (folder("a.bin", "b.bin"), COMPRESS.format("hf"), ["several", "a.bin, b.bin"], 1),
    "a folder without any": (folder("readme"), COMPRESS.format("hf"), ["hf is a folder without weights"], 1),
    "an index under another name": (index_of_others, COMPRESS.format("a.json"), ["in 2 files; name one"], 1),
    "an archive": (archive("word/document.xml"), TORCH, ["zip archive", "word/document.xml"], 1),
    "an empty archive": (archive(), TORCH, ["zip archive", "no files"], 1),
    "TorchScript": (scripted, TORCH, ["TorchScript", "state_dict()"], 1),
    "cut, zip": (cut(torch_bytes(), 900), TORCH, ["a.pt is damaged or cut short"], 1),
    "cut, legacy": (cut(torch_bytes(_use_new_zipfile_serialization=False), 40), TORCH, ["a.pt is damaged"], 1),
    "cut in the header": (content(network()[:100]), SAFE, ["a.safetensors cannot be read", "cut short"], 1),
    "cut in the data": (content(network()[:-1000]), SAFE, ["a.safetensors cannot be read", "cut short"], 1),
}  # fmt: skip

CONTENTS = {
    "a module": (saved(torch.nn.Linear(2, 2)), TORCH, ["torch.nn.modules.linear.Linear", "nothing in it was run"], 1),
    "one tensor": (saved(torch.ones(3)), TORCH, ["one tensor without a name", SAVE], 1),
    "a list": (saved([torch.ones(3)]), TORCH, ["holds a list", SAVE], 1),
    "numbers": (saved({"w": 3.0}), TORCH, ["no tensors by name", SAVE], 1),
    "text under state_dict": (saved({"state_dict": {"w": "text"}}), TORCH, ["no tensors by name", SAVE], 1),
    "nothing": (saved({}), TORCH, ["no tensors by name", SAVE], 1),
    "two networks": (saved({"g": WEIGHTS, "d": WEIGHTS}), TORCH, ["several mappings", "--key", "g, d"], 1),
    "a network and a tensor": (saved({"net": WEIGHTS, "w": torch.ones(3)}), TORCH, ["--key", "., net"], 1),
    "one name twice": (saved({0: torch.ones(2), "0": torch.ones(2)}), TORCH, ["0, '0' would have one name"], 1),
    "meta": (beside(lambda: torch.ones(2, device="meta")), TORCH, ["odd has no data"], 1),
    "COO": (beside(lambda: torch.eye(2).to_sparse()), TORCH, ["odd is sparse (sparse_coo)", "to_dense()"], 1),
    "quantized": (beside(quantized), TORCH, ["odd is quantized", "int_repr()"], 1),
    "4 bits": (beside(halves), TORCH, ["odd is of type float4_e2m1fn_x2", "view(torch.uint8)"], 1),
    "complex128 to safetensors": (pair, DECOMPRESS, ["odd is complex128", "laconic.load"], 1),
    "integers alone": (safetensors({"w": torch.ones(2, 2).int()}), SAFE, ["name the tensors in a plan"], 1),
    "integers on a row": (integers, "compress a.safetensors -o out.lac --plan plan.toml", ["w: ", "not int64"], 1),
    "NaN": (safetensors({"w": torch.full((2, 2), torch.nan)}), SAFE, ["w: 4 of 4 weights are NaN"], 1),
    "vectors": (safetensors({"w": torch.ones(3)}), SAFE, ["no floating-point tensor with two or more axes"], 1),
}  # fmt: skip

PLANS = {
    "dead pattern": (plan('[tensors]\n"conv*" = { codebook = 4 }\n[rest]\nlossless = true'), PLANNED, ["'conv*'"], 1),
    "two rows": (plan('[tensors]\n"fc*" = { codebook = 4 }\n"fc1.*" = { keep = 0.1 }'), PLANNED, ["fc1.weight is"], 1),
    "unknown kind": (plan("[rest]\nmagic = true"), PLANNED, ["rest: one of lossless"], 1),
    "bad value": (plan("[rest]\ncodebook = 0"), PLANNED, ["entries must be at least 1"], 1),
    "no TOML": (plan("tensors: fc1"), PLANNED, ["not TOML"], 1),
    "low rank of vectors": (plan("[rest]\nrank = 2"), PLANNED, ["fc1.bias: view"], 1),
    "no plan": (net, PLANNED, ["plan.toml cannot be read"], 1),
}  # fmt: skip

OPTIONS = {
    "unknown": (net, f"{NET} --magic", ["No such option"], 2),
    "no output": (net, "compress net.safetensors --bits 3", ["Missing option"], 2),
    "no number": (net, "compress net.safetensors -o out.lac --bits many", ["Invalid value"], 2),
    "no size": (net, "compress net.safetensors -o out.lac --size huge", ["Invalid value"], 2),
    "training to nothing": (net, "compress net.safetensors -o out.lac --effort train", ["know what to make"], 1),
    "two budgets": (net, "compress net.safetensors -o out.lac --bits 3 --size 1KB", ["a budget is named once"], 1),
    "budget, plan": (net, f"{NET} --bits 3", ["--bits does not go with --codebook"], 1),
    "quality alone": (net, f"{NET} --quality max", ["--quality does not go with --codebook"], 1),
    "keep and rank": (net, "compress net.safetensors -o out.lac --keep 0.1 --rank 2", ["--keep and --rank"], 1),
    "plan and codebook": (plan("[rest]\nlossless = true"), f"{PLANNED} --codebook 2", ["leave out --codebook"], 1),
    "per tensor": (net, f"{NET} --per-tensor", ["--per-tensor goes with --keep"], 1),
    "task and net": (net, f"{TRAINED} --task a:b --net lenet300", ["leave out --net"], 1),
    "idle method": (net, f"{NET} --method idc", ["--method: only --effort train takes this"], 1),
    "idle resume": (net, f"{NET} --resume --steps 3", ["--steps, --resume: only --effort train"], 1),
    "lr": (net, f"{TRAINED} --lr 0", ["lr must be above 0"], 1),
    "regularizer without a price": (net, f"{TRAIN} --regularize nuclear", ["--regularize nuclear needs --price"], 1),
    "price alone": (net, f"{TRAIN} --price 0.1", ["--price goes with --regularize nuclear or orthogonality"], 1),
    "no price": (net, f"{TRAIN} --regularize nuclear --price inf", ["0 or more and finite, not inf"], 1),
    "no regularizer": (net, f"{TRAIN} --regularize l1 --price 1", ["Invalid value", "orthogonality"], 2),
    "mu": (net, f"{TRAINED} --mu -1", ["μ must start above 0"], 1),
    "suffix": (net, "compress net.safetensors -o out.safetensors --codebook 2", ["give it that suffix"], 1),
    "a page over its file": (lac(), "report a.lac -o a.lac --force", ["a.lac is what is read; name another"], 1),
    "a page over one of its files": (lac(), "compare a.lac -o a.lac --force", ["a.lac is what is read"], 1),
    "shrunk over itself": (lac(), f"shrink a.lac {DIGITS} -o a.lac --force", ["a.lac is what is read"], 1),
    "suffix back": (lac(), "decompress a.lac -o out.pt", ["give it that suffix"], 1),
    "no net": (net, "evaluate bare.safetensors", ["--net"], 1),
    "no data": (net, "evaluate bare.safetensors --net lenet300", ["--data"], 1),
    "no such net": (net, "evaluate bare.safetensors --net lenet30 --data digits", ["did you mean 'lenet300'"], 1),
    "another net": (net, "evaluate net.safetensors --net lenet300-tanh", ["of net 'lenet300', not 'lenet300-tanh'"], 1),
    "key": (net, f"{NET} --key model", ["leave out --key model"], 1),
    "key of a .lac": (lac(), f"evaluate a.lac {DIGITS} --key model", ["holds one network: leave out --key"], 1),
    "recalibrated by training": (net, f"{TRAINED} --recalibrate 9", ["--recalibrate goes with --effort direct"], 1),
    "no data to recalibrate": (net, "compress bare.safetensors -o out.lac --recalibrate 9", ["--task"], 1),
    "no layer to recalibrate": (net, f"{NET} --recalibrate 9", ["moves running statistics of batch norm"], 1),
    "inspecting a checkpoint": (net, "inspect net.safetensors", ["one of safetensors; laconic compress makes"], 1),
    "inspecting a folder": (net, "inspect .", [". is a folder without a model.lac.safetensors"], 1),
    "suffix of a graph": (lac(), "export a.lac -o out.onn", ["name it out.onnx"], 1),
    "suffix of what is shrunk": (lac(), f"shrink a.lac {DIGITS} -o out.pt", ["give it that suffix"], 1),
    "a checkpoint exported": (net, f"export net.safetensors {DIGITS} -o out.onnx", ["one of safetensors"], 1),
    "other weights, exported": (lac(), EXPORT, ["are not those of this network"], 1),
    "other weights, shrunk": (lac(), SHRINK, ["the module lacks"], 1),
    "no net to export": (lac(), "export a.lac -o out.onnx", ["--net"], 1),
    "no net to shrink": (lac(), "shrink a.lac -o out.lac", ["--net"], 1),
    "key of what is shrunk": (lac(), f"{SHRINK} --key model", ["holds one network: leave out --key"], 1),
    "a limit without a choice": (net, "compress net.safetensors -o out.lac --params 9", ["--choose"], 1),
    "a choice that nothing meets": (net, f"{CHOOSE} --params 9", ["9 parameters are not met"], 1),
    "what goes along, without a plan": (net, f"{NET} --coupled", ["--coupled goes with a --plan"], 1),
    "suffix of a profile": (nothing, f"{PROFILE} out.json", [".toml"], 1),
    "nowhere for a profile": (content("", "plain"), f"{PROFILE} plain/out.toml", ["plain is a file"], 1),
    "other weights": (safetensors(WEIGHTS), f"evaluate a.safetensors {DIGITS}", ["are not those of this network"], 1),
}  # fmt: skip

TASKS = {
    "no module": (factories, f"{EVALUATE} no_such_module:make", ["no_such_module", ADVICE], 1),
    "no name": (factories, TASK, [ADVICE], 1),
    "no such name": (factories, f"{TASK}:absent", [ADVICE, "absent"], 1),
    "no function": (factories, f"{TASK}:value", [ADVICE, "value"], 1),
    "no module's name": (factories, f"{EVALUATE} :make", [ADVICE], 1),
    "relative": (factories, f"{EVALUATE} .a:make", [ADVICE], 1),
    "arguments": (factories, f"{TASK}:needs", [ADVICE, "something"], 1),
    "nothing back": (factories, f"{TASK}:nothing", ["returned NoneType"], 1),
    "AttributeError": (factories, f"{TASK}:broken", ["no_such_thing", "factories_of_tasks.py, line 4, in broken"], 1),
    "TypeError": (factories, f"{TASK}:adds", ["TypeError: unsupported operand", "line 5, in adds"], 1),
    "any error": (factories, f"{TASK}:fails", ["RuntimeError: no camera", "line 6, in fails"], 1),
    "its imports": (factories, f"{EVALUATE} missing_a_package:make", ["a_package_that_nobody", "line 1"], 1),
}  # fmt: skip

DAMAGES = {
    "empty": (lambda data: b"", "not a .lac file"),
    "magic": (lambda data: b"PK\x03\x04" + data[4:], "not a .lac file"),
    "text": (lambda data: b"To whom it may concern, " * 9, "not a .lac file"),
    "cut in the header": (lambda data: data[:12], "ends within its header"),
    "cut by one byte": (lambda data: data[:-1], "damaged, cut short or longer"),
    "a trailing byte": (lambda data: data + b"\0", "damaged, cut short or longer"),
    "flipped in the header": (flipped(11), "damaged"),
    "flipped in a block": (flipped(-5), "damaged"),
    "blocks, cut in the header": (blockwise(lambda data: data[:20]), "ends within its header"),
    "blocks, cut in a block": (blockwise(lambda data: data[: len(data) // 2]), "should have"),
    "blocks, a trailing byte": (blockwise(lambda data: data + b"\0"), "should have"),
    "blocks, flipped in the header": (blockwise(flipped(25)), "damaged"),
    "blocks, flipped in one": (blockwise(flipped(34)), "tensor 'fc.bias': byte 32: the block is damaged"),
    "blocks, flipped in the table": (blockwise(flipped(-5)), "damaged"),
    "newer": (newer, "install a newer laconic"),
}
COMMANDS = ("inspect a.lac", f"evaluate a.lac {DIGITS}", DECOMPRESS, EXPORT, SHRINK)
DAMAGED = {
    f"{damage}, {command.split()[0]}": (lac(change), command, ["a.lac: ", words], 1)
    for number, (damage, (change, words)) in enumerate(DAMAGES.items())
    for command in (
        COMMANDS if "flipped in" in damage and "header" not in damage else (COMMANDS[number % len(COMMANDS)],)
    )
}

ROWS = [
    pytest.param(*row, id=f"{about}: {name}")
    for about, rows in {
        "file": FILES, "content": CONTENTS, "plan": PLANS, "option": OPTIONS, "task": TASKS, "damaged": DAMAGED,
    }.items()
    for name, row in rows.items()
]  # fmt: skip


@pytest.mark.parametrize(("make", "command", "words", "code"), ROWS)
def test_bad_input_is_one_line(make, command, words, code, capsys, monkeypatch):
    make()
    capsys.readouterr()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for module in MODULES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    before, path = contents(), list(sys.path)
    assert run(command.split()) == code
    out, err = capsys.readouterr()
    assert all(word in " ".join(err.split()) for word in words), err
    assert "Traceback" not in err
    if code == 1:
        assert (out, err.count("\n"), err.startswith("error: ")) == ("", 1, True), err
    assert contents() == before
    assert sys.path == path


def test_there_are_rows_enough():
    assert len(ROWS) >= 60
