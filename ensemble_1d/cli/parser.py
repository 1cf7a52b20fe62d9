"""The options of every command, in argparse; nothing outside the standard library loads to read or to explain them."""

import argparse
from typing import NoReturn

import ensemble_1d
from ensemble_1d.cli.console import PROGRAM, STDIO, tell
from ensemble_1d.cli.sizes import bytes_of
from ensemble_1d.errors import InvalidInputError

EXIT_CODES = """\
exit codes:
  0    done
  1    input, model or file at fault: one line says what, and what to do
  2    command line at fault
  3    package missing: the line holds the pip command
  4    fault of ensemble-1d itself; --debug shows where
  130  interrupted (Ctrl-C)
  141  the reader of standard output has gone
"""

_TOP = f"""\
start here:
  ensemble-1d fit data.csv --target y --out model.e1d
  ensemble-1d predict model.e1d new.csv > answers.csv
  ensemble-1d export model.e1d --c model.h --calibration data.csv

Tables are CSV in UTF-8 (separated by comma, semicolon or tab), or Parquet
where the name ends in .parquet. The file - is standard input or standard
output. Results go to standard output, notes and errors to standard error.

{EXIT_CODES}"""

_FIT = """\
Features are numbers or booleans; empty cells are missing values. The target
decides the task: text, booleans and few different whole numbers are classes,
other numbers a regression. The scores of the leaderboard are out-of-fold.
With --out - the model goes to standard output, and the leaderboard to
standard error.

examples:
  ensemble-1d fit data.csv --target y --out model.e1d
  ensemble-1d fit data.csv --target y --drop id --out model.e1d \\
      --models random_forest,pytorch --param pytorch.max_epochs=50
"""

_PREDICT = """\
Columns are found by name, in any order; those that the model does not know
are left out. The answers are CSV, one line for each row, or Parquet where
--out ends in .parquet. With --json they are one JSON document instead, unless
--out names a file.

example:
  cat new.csv | ensemble-1d predict model.e1d - --proba | head
"""

_EXPORT = """\
C is written only after this machine's C compiler has made it answer the first
10,000 calibration rows bit for bit as Python does. Sizes are bytes, or k and M
of 1024: 8192, 32k, 32KiB. A budget (--flash, --ram, --instructions) picks the
most accurate form that fits, which takes about a minute.

example:
  ensemble-1d export model.e1d --c model.h --calibration data.csv --target y \\
      --flash 32k --ram 2k
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where the options are explained."""
        tell("error", f"{message}; see {self.prog} --help")
        raise SystemExit(2)


def parsed(argv: "list[str] | None") -> argparse.Namespace:
    """Return the command and its options.

    Args:
        argv: Arguments without the name of the program; None is those of this process.

    Returns:
        The options; those that every command has are always there.

    Raises:
        SystemExit: If help or the version was asked for (0), or the command line is at fault (2).

    Example:
        >>> parsed(["info", "model.e1d", "--json"]).as_json
        True
    """
    parser, commands = _parsers()
    common = argparse.Namespace(as_json=False, quiet=False, debug=False)
    arguments = parser.parse_args(argv, common)
    reason = _contradiction(arguments)
    if reason:
        commands[arguments.command].error(reason)
    return arguments


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser, and that of each command."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared = common.add_argument_group("options of every command")
    shared.add_argument("--json", dest="as_json", action="store_true", help="one JSON document on standard output")
    shared.add_argument("-q", "--quiet", action="store_true", help="nothing but errors on standard error")
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    version = f"{PROGRAM} {ensemble_1d.__version__}"
    shared.add_argument("--version", action="version", version=version, help="show the version")
    top = _Parser(
        prog=PROGRAM,
        parents=[common],
        description="Fit an ensemble on a table; ship it as integer-only C, ONNX or a report.",
        epilog=_TOP,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    commands: dict[str, argparse.ArgumentParser] = {}
    for name, summary, epilog, fill in (
        ("fit", "fit an ensemble on a table and save it", _FIT, _fit),
        ("predict", "answer the rows of a table", _PREDICT, _predict),
        ("info", "show what a saved model is made of", "", _info),
        ("export", "write a C header, an Arduino library or an ONNX graph", _EXPORT, _export),
        ("report", "write a report on a model as one HTML page", "", _report),
    ):
        command = found.add_parser(
            name,
            parents=[common],
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        fill(command)
        commands[name] = command
    return top, commands


def _fit(command: argparse.ArgumentParser) -> None:
    """Add the options of `fit`."""
    _data(command, "data", "the training rows")
    command.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    command.add_argument("--out", required=True, metavar="MODEL", help="the .e1d file to write, or -")
    command.add_argument("--task", choices=("classification", "regression"), help="instead of what the target says")
    command.add_argument(
        "--models",
        type=_models,
        metavar="LIST",
        help="of random_forest, xgboost and pytorch, separated by commas (default: the first two, where installed)",
    )
    command.add_argument(
        "--param",
        type=_parameter,
        action="append",
        default=[],
        metavar="MODEL.NAME=VALUE",
        help="a parameter of a model, for example random_forest.n_estimators=300; may be repeated",
    )
    command.add_argument(
        "--combine",
        choices=("stacking", "optimized", "greedy", "soft", "hard"),
        default="stacking",
        help="how the models become one (default: stacking)",
    )
    command.add_argument("--cv", type=int, default=5, metavar="FOLDS", help="folds of the leaderboard (default: 5)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all that is random (default: 0)")
    command.add_argument("--jobs", type=int, default=-1, metavar="N", help="threads (default: all cores)")
    _drop(command)


def _predict(command: argparse.ArgumentParser) -> None:
    """Add the options of `predict`."""
    _model(command)
    _data(command, "data", "the rows to answer")
    command.add_argument("--proba", action="store_true", help="add a column of probabilities for each class")
    command.add_argument("--out", default=STDIO, metavar="FILE", help="where to write (default: standard output)")
    _drop(command)


def _info(command: argparse.ArgumentParser) -> None:
    """Add the options of `info`."""
    _model(command)


def _export(command: argparse.ArgumentParser) -> None:
    """Add the options of `export`."""
    _model(command)
    kinds = command.add_argument_group("what to write").add_mutually_exclusive_group(required=True)
    kinds.add_argument("--c", metavar="HEADER", help="one C99 header, or - for standard output")
    kinds.add_argument("--arduino", metavar="FOLDER", help="an Arduino library")
    kinds.add_argument("--onnx", metavar="FILE", help="an ONNX graph, in floats")
    rows = command.add_argument_group("rows")
    _data(rows, "--calibration", "rows that show the range of each feature; a float model needs them for C")
    rows.add_argument("--target", metavar="COLUMN", help="their labels or values, for scores and for a budget")
    _drop(rows)
    rows.add_argument("--no-verify", dest="verify", action="store_false", help="do not compile C and compare")
    integers = command.add_argument_group("in integers (C and Arduino)")
    integers.add_argument(
        "--mode", choices=("int8", "int16", "int4"), help="bits of leaves and weights (default: int8)"
    )
    integers.add_argument("--compact", action="store_true", help="one byte a feature for trees: less flash")
    integers.add_argument("--flash", type=_size, metavar="SIZE", help="most flash for code and tables")
    integers.add_argument("--ram", type=_size, metavar="SIZE", help="most RAM for inputs and stack")
    integers.add_argument("--instructions", type=int, metavar="N", help="most instructions of one answer")
    integers.add_argument(
        "--target-cpu",
        choices=("cortex-m0plus", "cortex-m4"),
        default="cortex-m0plus",
        help="the processor that sizes are for (default: cortex-m0plus)",
    )
    integers.add_argument(
        "--layout",
        choices=("size", "balanced", "speed", "plain", "auto"),
        help="of trees: auto is the fastest that a budget holds (default: what the budget chose, or size)",
    )
    integers.add_argument("--name", default="model", metavar="NAME", help="prefix of all names in C (default: model)")
    integers.add_argument("--e1d", metavar="MODEL", help="save the integer model too")


def _report(command: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    _model(command)
    _data(command, "data", "rows that the model was not fitted on")
    command.add_argument("--target", required=True, metavar="COLUMN", help="their labels or values")
    command.add_argument("--out", required=True, metavar="HTML", help="the page to write, or -")
    command.add_argument("--title", help="the title of the page")
    command.add_argument(
        "--budgets",
        type=_sizes,
        default=(8192, 16384, 32768, 65536),
        metavar="SIZES",
        help="flash for which the best form is looked for, which takes most of the time (default: 8k,16k,32k,64k), or "
        "none",
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all that is random (default: 0)")
    _drop(command)


def _model(command: argparse.ArgumentParser) -> None:
    """Add the saved model."""
    command.add_argument("model", help="a saved model (.e1d), or - for standard input")


def _data(command: "argparse.ArgumentParser | argparse._ArgumentGroup", name: str, what: str) -> None:
    """Add a table."""
    command.add_argument(name, metavar="TABLE", help=f"{what}: CSV, Parquet, or - for standard input")


def _drop(command: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add the columns that are left out."""
    command.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="COLUMNS",
        help="columns to leave out, separated by commas; may be repeated",
    )


def _size(text: str) -> int:
    """Return a size in bytes; argparse shows this error, and no other, as it is."""
    try:
        return bytes_of(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _sizes(text: str) -> tuple[int, ...]:
    """Return sizes separated by commas, or none."""
    return () if text == "none" else tuple(_size(each) for each in text.split(","))


_KINDS = ("random_forest", "xgboost", "pytorch")


def _models(text: str) -> list[str]:
    """Return the names of models in a list separated by commas."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in _KINDS:
            raise argparse.ArgumentTypeError(f"{name!r} is no model; use {', '.join(_KINDS)}, separated by commas")
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{name!r} stands twice; name each model once")
    return names


def _parameter(text: str) -> tuple[str, str, str]:
    """Return model, name and value of a parameter."""
    path, equals, value = text.partition("=")
    model, dot, name = path.partition(".")
    if not (equals and dot and model and name):
        raise argparse.ArgumentTypeError(f"{text!r} is no MODEL.NAME=VALUE, such as random_forest.n_estimators=300")
    return model.strip(), name.strip(), value.strip()


def _contradiction(arguments: argparse.Namespace) -> str | None:
    """Return what in a command line cannot be together, or None."""
    given = vars(arguments)
    outputs = [option for option in ("out", "c", "onnx", "e1d") if given.get(option) == STDIO]
    inputs = [option for option in ("model", "data", "calibration") if given.get(option) == STDIO]
    if len(inputs) > 1:
        return f"standard input holds one thing: name a file for {inputs[0]} or {inputs[1]}"
    if arguments.command != "predict" and outputs and arguments.as_json:
        return f"--json takes standard output: name a file for --{outputs[0]}"
    if arguments.command != "export":
        return None
    if len(outputs) > 1:
        return f"standard output holds one thing: name a file for --{outputs[0]} or --{outputs[1]}"
    if "onnx" in outputs or given.get("arduino") == STDIO:
        return "only --c and --e1d can go to standard output: name a file"
    if arguments.target is not None and arguments.calibration is None:
        return "--target is a column of --calibration: give both"
    limits = [option for option in ("flash", "ram", "instructions") if given[option] is not None]
    integers = [option for option in ("mode", "layout", "e1d") if given[option] is not None] + limits
    if arguments.onnx is not None and (integers or arguments.compact):
        return f"--{(integers or ['compact'])[0]} is for integers, and --onnx writes floats"
    if arguments.layout == "auto" and not limits:
        return "--layout auto needs a budget: --flash, --ram or --instructions"
    return None
