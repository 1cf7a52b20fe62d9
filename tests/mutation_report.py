"""The score of `make mutants` for each module, and every mutant that no test noticed.

Reads what mutmut left in `mutants/`; prints the tables of `docs/mutation.md`. A survivor listed in
`equivalent_mutants.toml` computes the same as the code it was made of, and the reason stands there.
"""

import ast
import difflib
import json
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MUTANTS = Path("mutants")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
REFUSED_BY_TYPES, NOT_RUN = 37, None
NOTICED = {1, 3, -24, 24, 36, 152, 255}
"""Exit statuses of mutmut for a failing test and for a time-out."""
TITLES = {
    "survived": "Survivors",
    "message survived": "Survivors that change a message",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small change of one function.

    Attributes:
        module: Dotted name below the package.
        function: Name of the function, after that of its class where it has one.
        status: What mutmut noted; None where it did not come to it.
        before: Changed lines of the function, as `ast.unparse` writes them.
        after: What they became.
        is_message: Whether nothing but the text of an error changed.
    """

    module: str
    function: str
    status: int | None
    before: str
    after: str
    is_message: bool

    @property
    def place(self) -> str:
        """Module and function."""
        return f"{self.module}.{self.function}"


def read_mutants(folder: Path) -> list[Mutant]:
    """Return every mutant of which `folder` holds a result."""
    found = []
    for meta in sorted(folder.glob("ensemble_1d/**/*.meta")):
        statuses = json.loads(meta.read_text())["exit_code_by_key"]
        source = meta.with_suffix("")
        functions = dict(_functions(ast.parse(source.read_text())))
        module = ".".join(source.relative_to(folder / "ensemble_1d").with_suffix("").parts)
        for key, status in statuses.items():
            name = key.rpartition(".")[2]
            original, mutant = functions[name.rpartition("__mutmut_")[0] + "__mutmut_orig"], functions[name]
            before, after = _changed_lines(original, mutant)
            function = name.rpartition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
            is_message = _is_message(original, mutant)
            found.append(Mutant(module, function, status, before, after, is_message))
    return found


def _functions(node: ast.AST) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the functions of a module and of its classes by name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child)


def _changed_lines(original: ast.FunctionDef, mutant: ast.FunctionDef) -> tuple[str, str]:
    """Return the lines that differ, before and after."""
    # The first line holds the name, which always differs; defaults of arguments stand there too.
    texts = [ast.unparse(each).replace(each.name, "f", 1).splitlines() for each in (original, mutant)]
    lines = list(difflib.ndiff(*texts))
    removed, added = ([line[2:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return " ".join(removed), " ".join(added) or f"without {' '.join(removed)}"


def _is_message(original: ast.AST, mutant: ast.AST) -> bool:
    """Return whether two trees differ only within the message of `ensure`, a `raise`, or a text of several words."""
    pairs = [(original, mutant)]
    while pairs:
        old, new = pairs.pop()
        if isinstance(old, ast.Raise) and isinstance(new, ast.Raise):
            continue
        if type(old) is not type(new):
            return False
        if isinstance(old, ast.Call) and isinstance(new, ast.Call) and _is_ensure(old) and _is_ensure(new):
            old_rule, new_rule = old.args[:1], new.args[:1]
            if len(old.args) != len(new.args):
                return False
            pairs += zip(old_rule, new_rule, strict=True)
            continue
        names = [name for name in old._fields if name not in {"name", "ctx", "type_comment"}]
        for name in names:
            before, after = getattr(old, name, None), getattr(new, name, None)
            if isinstance(before, list) and isinstance(after, list):
                if len(before) != len(after):
                    return False
                both = list(zip(before, after, strict=True))
            else:
                both = [(before, after)]
            for left, right in both:
                if isinstance(left, ast.AST) and isinstance(right, ast.AST):
                    pairs.append((left, right))
                elif left != right and not (isinstance(left, str) and isinstance(right, str) and " " in left):
                    return False
    return True


def _is_ensure(call: ast.Call) -> bool:
    """Return whether a call is `ensure(condition, message)`."""
    return isinstance(call.func, ast.Name) and call.func.id == "ensure"


def read_equivalent(path: Path) -> dict[tuple[str, str], str]:
    """Return the reason why each listed mutant computes the same, by place and changed line."""
    tables = tomllib.loads(path.read_text())
    return {(place, after): why for place, lines in tables.items() for after, why in lines.items()}


def score_table(mutants: list[Mutant], equivalent: dict[tuple[str, str], str]) -> str:
    """Return the score of each module in Markdown."""
    rows = ["| Module | mutants | refused by mypy | messages | equivalent | killed | score |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    modules = sorted({each.module for each in mutants})
    for name in (*modules, "all"):
        mine = [each for each in mutants if name in {each.module, "all"}]
        kinds = Counter(_kind(each, equivalent) for each in mine)
        counted = kinds["killed"] + kinds["survived"]
        messages = kinds["message killed"] + kinds["message survived"]
        share = f"{100 * kinds['killed'] / counted:.1f} %" if counted else ""
        rows.append(
            f"| {name} | {len(mine)} | {kinds['refused']} | {kinds['message killed']} of {messages} "
            f"| {kinds['equivalent']} | {kinds['killed']} of {counted} | {share} |"
        )
    return "\n".join(rows)


def _kind(mutant: Mutant, equivalent: dict[tuple[str, str], str]) -> str:
    """Return in which column of the table a mutant counts."""
    if mutant.status == REFUSED_BY_TYPES:
        return "refused"
    if mutant.is_message:
        return "message killed" if mutant.status in NOTICED else "message survived"
    if (mutant.place, mutant.after) in equivalent:  # A busy machine may have let it time out.
        return "equivalent"
    return "killed" if mutant.status in NOTICED else "survived"


def survivor_list(mutants: list[Mutant], equivalent: dict[tuple[str, str], str], kind: str) -> str:
    """Return the mutants of one kind in Markdown, by function."""
    found = defaultdict(list)
    for each in mutants:
        if _kind(each, equivalent) == kind:
            found[each.place].append(f"  - `{each.before}` → `{each.after}`")
    return "\n".join(f"- {place}\n" + "\n".join(lines) for place, lines in found.items()) or "None."


def reason_table(mutants: list[Mutant], equivalent: dict[tuple[str, str], str]) -> str:
    """Return in Markdown how many mutants compute the same, by reason."""
    found = Counter(equivalent[each.place, each.after] for each in mutants if _kind(each, equivalent) == "equivalent")
    rows = ["| They compute the same because | mutants |", "| --- | ---: |"]
    return "\n".join(rows + [f"| {why} | {n} |" for why, n in sorted(found.items(), key=lambda pair: -pair[1])])


def main() -> int:
    """Print the tables; return 1 where a mutant was not run."""
    mutants, equivalent = read_mutants(MUTANTS), read_equivalent(EQUIVALENT)
    missed = sum(each.status is NOT_RUN for each in mutants)
    sys.stdout.write(f"{score_table(mutants, equivalent)}\n")
    sys.stdout.write(f"\n{reason_table(mutants, equivalent)}\n")
    for kind, title in TITLES.items():
        sys.stdout.write(f"\n{title}:\n\n{survivor_list(mutants, equivalent, kind)}\n")
    found = {(each.place, each.after): each.status for each in mutants}
    modules = {each.module for each in mutants}
    stale = [key for key in equivalent if found.get(key, 1) == 1 and any(key[0].startswith(f"{m}.") for m in modules)]
    for place, line in sorted(stale):
        sys.stderr.write(f"noticed by a test or gone, though listed as equivalent: {place}: {line}\n")
    if missed:
        sys.stderr.write(f"{missed} mutants have no result; run `make mutants` to its end\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
