"""Tables on an AVR: all of them in flash, none in RAM, and no header that reaches further than its pointers do."""

import re

import numpy as np
import pytest
from boards import BOARDS
from c_harness import Case
from target_boards import different_rows, foreign_calls, placed
from target_models import RECIPES, case_for, fitted_case
from target_tools import missing

from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.c99_avr import avr_limit
from ensemble_1d.export.c99_text import array
from ensemble_1d.export.table_bytes import table_bytes

AVR = BOARDS["atmega2560"]
ABSENT = ", ".join(f"{tool} ({package})" for tool, package in missing().items())
RAM = 0x800200
"""Where the linker lets the RAM of an ATmega2560 begin; flash has the addresses below."""


def on_target(test):
    """Mark a test that needs the cross compilers."""
    return pytest.mark.targets(pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {ABSENT}")(test))


def test_sizes_are_those_of_the_arrays():
    """Every type that a table may have, those of the kernels, and not what users read themselves."""
    dtypes = (np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32)
    tables = [np.ones((3, 5), dtype) for dtype in dtypes]
    text = "\n".join(array(f"e1d_{i}", table) for i, table in enumerate(tables))
    kernel = "    static const uint16_t table[33] E1D_TABLE = {\n        1\n    };"
    sums = "static const uint32_t e1d_bias[2] E1D_TABLE = {\n    E1D_BIAS(1,2), E1D_BIAS(3,4)\n};"
    weights = "static const e1d_weights8 e1d_weights[] E1D_TABLE = {\n    E1D_WEIGHTS8(1,2), E1D_WEIGHTS8(3,4)\n};"
    plain = array("model_classes", np.ones(3, np.int32), memory="")
    code = f"{text}\n{kernel}\n{sums}\n{weights}\n{plain}"
    assert list(table_bytes(code, in_program_memory=True).values()) == [15, 15, 15, 30, 30, 60, 60, 66, 8, 8]
    assert table_bytes(code)["model_classes"] == 12


@pytest.mark.parametrize(
    ("sizes", "is_reached"),
    [((32767, 31745), True), ((32767, 31746), False), ((32767,), True), ((32768,), False), ((), True)],
)
def test_the_limit_is_the_pointer_s_and_the_compiler_s(sizes, is_reached):
    """The sum leaves room for what lies before tables; one table is an object of at most 32767 bytes."""
    code = "\n".join(array(f"e1d_{i}", np.ones(size, np.uint8)) for i, size in enumerate(sizes))
    assert (avr_limit(code, "model") == "") is is_reached


@on_target
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("layout", ["size", "balanced", "speed"])
def test_every_table_lies_in_flash(recipe, layout):
    """In the linked program; and there is nothing to copy to RAM before it starts."""
    case = case_for(recipe, "atmega2560")
    text = c99_header(case.program, "model", layout)
    found = placed(AVR, "-Os", case, text)
    tables = set(re.findall(r"^static const \w+ (\w+)\[\d*\] MODEL_TABLE", text, re.MULTILINE))
    assert tables
    assert tables - found.keys() == set()
    assert {name for name in tables if found[name][0] >= RAM} == set()
    assert found["__bss_start"][0] == RAM
    # The two tables of the kernels are there only where they are read.
    sizes = table_bytes(text, in_program_memory=True)
    assert len(sizes) == text.count("MODEL_TABLE = {")
    assert {name: found[name][1] for name in tables} == {name: sizes[name] for name in tables}


@on_target
@pytest.mark.parametrize("layout", ["size", "plain"])
def test_tables_out_of_reach_do_not_compile(layout):
    """Of one ensemble, trees that read bytes fit; as plain arrays, they would be read from other addresses."""
    case = fitted_case("large-digits")
    text = c99_header(case.program, "model", layout)
    total = sum(table_bytes(text, in_program_memory=True).values())
    if layout == "size":
        assert total < 65536
        assert foreign_calls(AVR, "-Os", text) == []
        return
    assert total > 65536
    message = rf'#error "model\.h has {total} bytes of tables, \d+ in the largest; an AVR reads 64512, .*layout=.speed.'
    with pytest.raises(AssertionError, match=message):
        foreign_calls(AVR, "-Os", text)
    unguarded = re.sub(r"#ifdef __AVR__\n#error.*\n#endif\n", "", text)
    few = Case(case.program, case.codes[::16], case.floats[::16])
    assert different_rows(AVR, "-Os", few, unguarded) > 0
