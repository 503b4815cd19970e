"""`laconic compress`: a checkpoint to a `.lac` file."""

from pathlib import Path
from typing import Annotated

import typer

from laconic.cli import groups, options
from laconic.cli.console import Output
from laconic.cli.menus import Choosing
from laconic.cli.rows import Rows
from laconic.cli.schedule import Machines
from laconic.cli.stored import Stored
from laconic.cli.teaching import Teaching


@groups.grouped
def command(
    context: typer.Context,
    weights: options.Checkpoint,
    budget: options.Budget,
    rows: Rows,
    stored: Stored,
    which: options.Which,
    choosing: Choosing,
    matters: options.Matters,
    calibrating: options.Calibrating,
    data: options.Data,
    training: options.Training,
    teaching: Teaching,
    machines: Machines,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The .lac file to write; of a folder of a model, a folder, unless it ends in .lac.",
            rich_help_panel=groups.RUN,
        ),
    ],
    run: options.LongRun,
    say: Output,
    effort: Annotated[
        options.Effort,
        typer.Option(
            help="direct: weights only, seconds. calibrate: by what layers read in some samples, minutes. train: the "
            "LC algorithm; for a size calibrate's file is the point to beat on the validation split.",
            rich_help_panel=groups.TRAINING,
        ),
    ] = options.Effort.direct,
    recalibrate: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="With --effort direct and a task: N training samples by which running statistics of batch "
            "normalization follow what compression has done to their inputs, where that helps.",
            rich_help_panel=groups.MATTERS,
        ),
    ] = 0,
    target: Annotated[
        Path | None,
        typer.Option(
            "--target",
            "--profile",
            metavar="PROFILE",
            help="Profile of the machine that the network is to run on: prices in time are those there, and the file "
            "says which layout, tile and threads are best for each weight. Needs the network.",
            rich_help_panel=groups.WHAT,
        ),
    ] = None,
    coupled: Annotated[
        bool,
        typer.Option(
            "--coupled",
            help="With a --plan that keeps a share of filters (neurons, of a matrix) or channels: what goes with them "
            "is pruned, too, so that laconic shrink can remove it. Needs the network.",
            rich_help_panel=groups.WHAT,
        ),
    ] = False,
    key: options.Key = None,
    with_code: Annotated[
        bool,
        typer.Option(
            "--with-code",
            help="Of a folder of a model: its Python files go along, too; nothing here runs them.",
            rich_help_panel=groups.RUN,
        ),
    ] = False,
    table: Annotated[
        bool,
        typer.Option(
            "--table", help="Show every tensor: error, zeros, bits per weight, bytes.", rich_help_panel=groups.RUN
        ),
    ] = False,
) -> None:
    """Compress a checkpoint to a .lac file, from the weights alone, by what its layers read, or by training.

    A folder of a model as Hugging Face's libraries write it, or the index of its shards, is a checkpoint, and becomes a
    folder: the weights as one file, and beside it configuration, tokenizer, licence and a page that says what it is.
    With import laconic.hf transformers loads it, laconic decompress makes a plain folder of it, and every command that
    takes a .lac file takes it.

    How much work it may be is --effort:

    direct: from the weights alone, in seconds to minutes; needs neither data nor the network. Begin here.

    direct, with data: --recalibrate and --importance read some samples, and train nothing; seconds to minutes more.

    calibrate: meets a budget by what layers read in some training samples, without labels; minutes. Each weight is
    rounded so that errors of its neighbours cancel in what it writes, for what it meets once those before it are
    compressed; batch normalization is folded into layers. --max-kl and --max-drop are met by files of at most six
    sizes, of which the smallest that meets it is kept. At the end biases and norms are tuned to
    what the weights have become, and with --quality max weights are rounded anew by what the outputs say, where that
    helps. Needs network and data (or a --task).

    calibrate, from a text: --calibration text.txt takes the place of network and data where a config.json lies beside
    the checkpoint, or in the directory that --net names. It says how many samples, tokens and layers, and at the end,
    on sequences that were held out, KL and perplexity of a language model, or cosines of an encoder's sentences.

    train: the LC algorithm, which trains the network towards its compressed form; minutes to days, for the smallest
    file of an accuracy. Needs network and data (or a --task), and either a size (--size, --bits, --ratio), which every
    step of the path is within, or --codebook, --keep, --rank or a --plan. What is written is the last step whose error
    on the validation split is within one standard error of the least. --log writes each step to a file that laconic log
    shows.

    train, with a teacher: --distill self lets the network learn from what the original says, --distill FILE from what
    another one does. --alike is that at temperature 1, and the share what the KL from the original has of the loss.

    train, for a drop: --max-drop and --max-kl are met by the smallest of several sizes, in one run: first the file of
    calibrate, then sizes below it, each with a path of its own, some 6 to 10 of a third of the steps. A path ends where
    two steps in a row meet it. Where no size does, the nearest step is named.

    A run of calibrate or train that is stopped or killed goes on with the same command and --resume, where it was, and
    ends with the same bytes: what it has come to is kept beside the output, as .checkpoint, until all is done.

    Under torchrun --nproc-per-node 2 -m laconic compress ... each process is a rank; rank 0 prints and writes. From the
    weights alone, for a budget, each reads and quantizes its own tensors, and the file is that of one process, byte by
    byte. With train each takes its share of every batch and of the tensors of a C step; --gradients terngrad lets
    gradients travel in few bits, and --resume goes on with any number of ranks.

    Unless you say what to make, it is a file of 4 bits per weight. Biases and the parameters of normalisation layers
    are stored lossless unless a plan says otherwise.

    With a budget (--bits, --size, --ratio or --snr) every weight goes on one entropy-coded grid with the step that
    meets it: the smallest file for its error; a tensor that it would wipe out has a finer one. --codebook, --keep,
    --rank and --plan say instead what becomes of weights. Tensors that are left with next to nothing are named.

    A plan and a budget go together: the plan's rows take their bytes first, and all other weights share what remains.
    What --lossless names stays as it is, and so do masks (0 and -inf alone) and tensors of a single value.

    A checkpoint that is quantized already, in the layouts of GPTQ, AWQ and compressed-tensors, as int8 with scales, or
    in a GGUF file (Q4_0, Q8_0), is recoded: its integers are coded, and all comes back bit by bit. --requantize
    compresses the weights that it stands for. --recode is for any checkpoint of which nothing may change.

    With --choose each weight gets the compression that loses least within the budget: the grid of the budget, or a
    codebook, pruning, low rank, a sum, fewer filters or channels. A Lagrangian over all of them proposes plans, of
    which whole files are measured, each single technique beside them; the nearest is written. With --effort direct
    that is by the error of the weights, else by the outputs on samples that are held out; with train LC follows.
    --params, --macs and --energy are budgets beside the bytes, or in their place; two in all. --write-plan keeps the
    rows that were chosen, and why, which laconic analyze shows; what they do not name is the budget's. Tensors on the
    rows of a --plan stay as they say.

    With --coupled the filters or channels of which rows of the plan keep a share take along their biases and
    norms, and what reads them, or is added to them: those of most weight over all these stay, and training chooses
    anew in each step. laconic shrink then cuts the others out. It needs the network, of which a run shows what goes
    together.

    With --filters that share of the filters (neurons, of a matrix) stays, and all that goes along with the others is
    pruned, ranked by --score: the weights (l2, l1), or how often they are not 0 on training data (activity).

    With --effort train --method rounds a little is pruned, what is left is trained, and again, --steps times with
    --epochs each, until what --filters, --keep or a --plan keeps; or until --size, or before --max-drop. Each round
    is a state to --resume from, and says what the network costs once laconic shrink has cut out what is empty.

    With --importance the errors of these count as much as the weights matter to the network: it needs the network and
    its data, of which the checkpoint may tell the names. It goes before what a plan says; none is for none. With a
    budget tensors that matter more have finer steps, which not every network gains by: compare with the file without.
    --snr stays the plain figure of the weights.

    Examples:
      laconic compress net.safetensors -o net.lac

      laconic compress net.safetensors -o net.lac --bits 3 --table

      laconic compress MODEL -o SMALL --bits 3

      laconic compress net.safetensors -o net.lac --size 100KB --quality max

      laconic compress net.pt -o net.lac --bits 3 --lossless 'head.*'

      laconic compress net.pt -o net.lac --bits 3 --plan a.toml

      laconic compress net.pt -o net.lac --size 40KB --choose

      laconic compress a.pt -o a.lac --size 40KB --choose --effort calibrate

      laconic compress a.pt -o a.lac --choose --macs 20M --task mine:make

      laconic compress a.pt -o a.lac --choose --time 2 --target a.toml --task m:t

      laconic compress a.pt -o a.lac --plan a.toml --coupled --task mine:make

      laconic compress net-awq.safetensors -o net.lac

      laconic compress net-Q4_0.gguf -o net.lac --requantize --bits 3

      laconic compress net-bf16.safetensors -o net.lac --recode

      laconic compress net.safetensors -o net.lac --codebook 4

      laconic compress net.safetensors -o net.lac --keep 0.05 --codebook 16

      laconic compress net.safetensors -o net.lac --keep 0.1 --importance gradient

      laconic compress net.safetensors -o net.lac --bits 3 --importance gradient

      laconic compress net.pt -o net.lac --rank 8 --net lenet300 --data digits

      laconic compress a.pt -o a.lac --bits 2 --recalibrate 500 --task mine:make

      laconic compress a.pt -o a.lac --bits 2 --effort calibrate --task mine:make

      laconic compress net.pt -o a.lac --max-drop 0.5 --effort calibrate

      laconic compress MODEL -o SMALL --effort calibrate --calibration a.txt

      laconic compress train.ckpt -o net.lac --key ema.state_dict

      laconic compress a.safetensors -o a.lac --size 10KB --effort train

      laconic compress a.safetensors -o a.lac --max-drop 1 --effort train

      laconic compress a.safetensors -o a.lac --codebook 2 --effort train

      laconic compress a.pt -o a.lac --keep 0.1 --effort train --distill self

      laconic compress a.pt -o a.lac --plan a.toml --effort train --task mine:make

      laconic compress a.pt -o a.lac --filters 0.5 --score activity --task m:t

      laconic compress a.pt -o a.lac --filters 0.2 --effort train --method rounds

      laconic compress a.safetensors -o a.lac --plan a.toml --target here.toml

      torchrun --nproc-per-node 2 -m laconic compress a.safetensors -o a.lac
    """
    from laconic.cli.jobs.compress import Job, compress
    from laconic.cli.jobs.folders import Beside

    idle = groups.given(context, (*groups.names(options.Training, Teaching), "resume"))
    job = Job(
        weights, output, effort, budget, rows, which, matters, calibrating, data, training, run, tuple(idle), table,
        key, recalibrate, target, choosing, coupled, teaching, machines, stored,
        Beside.of(
            weights, output, code=with_code, command=groups.command_line(context), requantized=stored.requantize
        ),
    )  # fmt: skip
    compress(job, say)
