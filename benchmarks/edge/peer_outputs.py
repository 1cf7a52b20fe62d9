"""Every C output of the other exporters; run in their environment: `peer_outputs.py FITTED.pickle FOLDER`.

It needs nothing of ours. Each output is a folder of sources that define `edge_predict`; what an exporter refuses is
listed with its reason. The list is FOLDER/outputs.json.
"""

import json
import pickle
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_CALL = """\
#include "entry.h"
{includes}
edge_output edge_predict(const edge_input *x)
{{
{body}
}}
"""


@dataclass(frozen=True)
class Listed:
    """One output as it stands in outputs.json.

    Attributes:
        workload: Key of the workload.
        name: The exporter with its options.
        dtype: C type of its rows: also the key of the estimator it was made from.
        folder: Where its sources are, or None if it was refused.
        refusal: What the exporter said.
        is_stock: Whether it is what the exporter gives without a change by hand.
    """

    workload: str
    name: str
    dtype: str
    folder: str | None
    refusal: str
    is_stock: bool


@dataclass(frozen=True)
class Attempt:
    """One way to ask an exporter; `write` puts the sources in a folder, and raises if the exporter refuses."""

    name: str
    dtype: str
    write: Callable[[Any, Path], None]
    is_stock: bool = True


def attempts(estimator: Any) -> Iterator[Attempt]:
    """Yield everything that is asked of an estimator of this kind."""
    kind = type(estimator).__name__
    if kind == "RandomForestClassifier":
        for leaf_bits in (0, 8):
            leaves = f"{leaf_bits}-bit leaves" if leaf_bits else "votes"
            for method, dtype in (("inline", "int16_t"), ("loadable", "int16_t"), ("inline", "float")):
                yield Attempt(f"emlearn {method} {dtype}, {leaves}", dtype, _emlearn_trees(method, dtype, leaf_bits))
    if kind == "MLPClassifier":
        yield Attempt("emlearn loadable float", "float", _emlearn_network("loadable", is_fixed=False))
        yield Attempt("emlearn inline float", "float", _emlearn_network("inline", is_fixed=False))
        yield Attempt("emlearn inline Q16", "float", _emlearn_network("inline", is_fixed=True))
    if kind.startswith("XGB"):
        yield Attempt("emlearn", "float", _emlearn_trees("inline", "float", 0))
    yield Attempt("m2cgen", "double", _m2cgen)
    if kind.startswith("XGB"):
        yield Attempt("m2cgen, base score given by hand", "double", _m2cgen_by_hand("double"), is_stock=False)
        name = "m2cgen, base score given and double made float by hand"
        yield Attempt(name, "float", _m2cgen_by_hand("float"), is_stock=False)
    yield Attempt("micromlgen", "float", _micromlgen)
    yield Attempt("tl2cgen", "float", _tl2cgen({}))
    yield Attempt("tl2cgen quantize=1", "float", _tl2cgen({"quantize": 1}))


def main(fitted: Path, folder: Path) -> None:
    """Write every output of every fitted estimator."""
    listed = []
    for number, (workload, by_dtype) in enumerate(pickle.loads(fitted.read_bytes()).items()):  # noqa: S301 -- our own
        estimator = by_dtype["float"]
        for place, attempt in enumerate(attempts(estimator)):
            target = folder / f"{number}-{place}"
            target.mkdir(parents=True)
            refusal = ""
            try:
                attempt.write(by_dtype[attempt.dtype], target)
            except Exception as error:  # whatever it raises is its answer
                traceback.print_exc()
                refusal = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            place_of = None if refusal else str(target)
            listed.append(Listed(workload, attempt.name, attempt.dtype, place_of, refusal, attempt.is_stock))
    (folder / "outputs.json").write_text(json.dumps([asdict(each) for each in listed]), encoding="utf-8")


def _call(folder: Path, includes: str, body: str, suffix: str = ".c") -> None:
    """Write the function that calls what was exported."""
    lines = "".join(f"#include {each}\n" for each in includes.split())
    (folder / f"edge{suffix}").write_text(_CALL.format(includes=lines, body=body), encoding="utf-8")


def _emlearn_headers(folder: Path) -> None:
    """Copy emlearn's headers."""
    import emlearn

    for header in Path(emlearn.__file__).parent.glob("*.h"):
        shutil.copy(header, folder)


def _emlearn_trees(method: str, dtype: str, leaf_bits: int) -> Callable[[Any, Path], None]:
    """Return what asks emlearn for a forest."""

    def write(estimator: Any, folder: Path) -> None:
        import emlearn

        model = emlearn.convert(estimator, method=method, dtype=dtype, leaf_bits=leaf_bits)
        model.save(name="model", file=str(folder / "model.h"), format="c", include_proba=False)
        _emlearn_headers(folder)
        _call(folder, '"model.h"', "    return model_predict(x, EDGE_N_INPUTS);")

    return write


def _emlearn_network(method: str, *, is_fixed: bool) -> Callable[[Any, Path], None]:
    """Return what asks emlearn for a network."""

    def write(estimator: Any, folder: Path) -> None:
        import emlearn

        model = emlearn.convert(estimator, method=method, use_fixedpoint=is_fixed)
        model.save(name="model", file=str(folder / "model.h"), inference=[method])
        _emlearn_headers(folder)
        if is_fixed:
            body = """\
    static eml_q16_t values[EDGE_N_INPUTS];
    int i;
    for (i = 0; i < EDGE_N_INPUTS; i++) {
        values[i] = EML_Q16_FROMFLOAT(x[i]);
    }
    return model_predict(values, EDGE_N_INPUTS);"""
        elif method == "inline":
            body = "    return model_predict(x, EDGE_N_INPUTS);"
        else:
            body = "    return eml_net_predict(&model, x, EDGE_N_INPUTS);"
        _call(folder, '"model.h"', body)

    return write


def _m2cgen(estimator: Any, folder: Path, number: str = "double") -> None:
    """Ask m2cgen; its numbers are doubles, or made floats by hand."""
    import m2cgen

    sys.setrecursionlimit(10_000)
    text = m2cgen.export_to_c(estimator)
    if number == "float":
        text = re.sub(r"(?<![\w.])(\d+\.\d+(?:e[+-]?\d+)?)", r"\1f", text)
        text = re.sub(r"\bexp\(", "expf(", text.replace("double", "float"))
        text = f"#ifdef __AVR__\n#define expf exp /* the same, and the only name that avr-libc has */\n#endif\n{text}"
    (folder / "model.c").write_text(text, encoding="utf-8")
    n_classes = getattr(estimator, "n_classes_", 0)
    if n_classes:
        declared = f"void score(const {number} *input, {number} *output);"
        body = f"    {number} score_of[{n_classes}];\n    int i;\n    score(x, score_of);\n{_argmax(n_classes)}"
    else:
        declared, body = f"{number} score(const {number} *input);", "    return score(x);"
    (folder / "model.h").write_text(declared + "\n", encoding="utf-8")
    _call(folder, '"model.h"', body)


def _m2cgen_by_hand(number: str) -> Callable[[Any, Path], None]:
    """Return what gives m2cgen the parameters that it looks for, which XGBoost 3 no longer fills in."""

    def write(estimator: Any, folder: Path) -> None:
        config = json.loads(estimator.get_booster().save_config())["learner"]["learner_model_param"]
        score = json.loads(config["base_score"])
        values = score if isinstance(score, list) else [score]
        # It knows one base score for all classes; XGBoost 3 has one for each, which the label seldom depends on.
        single = values[0] if len(values) == 1 else 0.0
        given = type(estimator)(**(estimator.get_params() | {"base_score": single, "num_parallel_tree": 1}))
        given.__dict__.update({k: v for k, v in estimator.__dict__.items() if k not in given.get_params()})
        _m2cgen(given, folder, number)

    return write


def _micromlgen(estimator: Any, folder: Path) -> None:
    """Ask micromlgen."""
    import micromlgen

    text = micromlgen.port(estimator, classname="Model")
    (folder / "model.h").write_text(text.replace("<cstdarg>", "<stdarg.h>"), encoding="utf-8")
    body = "    static Eloquent::ML::Port::Model model;\n    return model.predict(const_cast<edge_input *>(x));"
    _call(folder, '"model.h"', body, ".cpp")


def _tl2cgen(parameters: dict[str, int]) -> Callable[[Any, Path], None]:
    """Return what asks tl2cgen, by way of treelite."""

    def write(estimator: Any, folder: Path) -> None:
        import tl2cgen
        import treelite

        if hasattr(estimator, "get_booster"):
            model = treelite.frontend.from_xgboost(estimator.get_booster())
        else:
            model = treelite.sklearn.import_model(estimator)
        tl2cgen.generate_c_code(model, dirpath=str(folder), params=parameters)
        number = "double" if "double* result" in (folder / "header.h").read_text(encoding="utf-8") else "float"
        n_classes = getattr(estimator, "n_classes_", 0)
        n_outputs = n_classes if n_classes > 2 or not hasattr(estimator, "get_booster") else 1
        body = f"""\
    union Entry values[EDGE_N_INPUTS];
    {number} score_of[{n_outputs}] = {{0}};
    int i;
    for (i = 0; i < EDGE_N_INPUTS; i++) {{
        values[i].fvalue = x[i];
    }}
    predict(values, 1, score_of);
"""
        end = "    return score_of[0];" if not n_classes else "    return score_of[0] > 0;"
        _call(folder, '"header.h"', body + (end if n_outputs == 1 else _argmax(n_outputs)))

    return write


def _argmax(n_classes: int) -> str:
    """Return the end of a function: the first of the highest scores."""
    return f"""\
    int best = 0;
    for (i = 1; i < {n_classes}; i++) {{
        if (score_of[i] > score_of[best]) {{
            best = i;
        }}
    }}
    return best;"""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
