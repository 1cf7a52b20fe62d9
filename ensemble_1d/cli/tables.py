"""Tables: CSV and Parquet, from a file or standard input, read by pandas; and answers written as either."""

import csv
import io
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ensemble_1d._require import is_available, require
from ensemble_1d.cli.console import STDIO, stdin_bytes
from ensemble_1d.errors import InvalidInputError, MissingBackendError

Frame = Any
"""A pandas DataFrame; pandas is imported only when a table is read."""

_PARQUET = b"PAR1"
_PANDAS_INDEX = "__index_level_"
_SEPARATORS = ",;\t"
_SHOWN = 12


class Table:
    """A table of which the names of the columns are known, and the rows are read when they are asked for.

    Args:
        path: A CSV file, a Parquet file whose name ends in .parquet, or "-" for either on standard input.

    Attributes:
        where: What messages call it.
        columns: The names of its columns, those without a name left out.
        n_unnamed: Columns without a name.
        separator: What is between the cells of a CSV; None for Parquet.

    Raises:
        InvalidInputError: If it cannot be read, is empty, or two columns have one name.
        MissingBackendError: If pandas, or for Parquet pyarrow, is not installed.
    """

    def __init__(self, path: str) -> None:
        """Open the file and read the names of the columns."""
        self._pandas: Any = require("pandas", caller="reading a table", extra="cli")
        self.where = "standard input" if path == STDIO else repr(path)
        self.separator: str | None = None
        self._is_parquet = path.endswith(".parquet")
        self._source = self._source_of(path)
        self._header = self._parquet_header() if self._is_parquet else self._csv_header()
        self.columns = [name for name in self._header if name]
        self.n_unnamed = len(self._header) - len(self.columns)
        name, count = Counter(self.columns).most_common(1)[0] if self.columns else ("", 0)
        if count > 1:
            raise InvalidInputError(f"column {name!r} stands {count} times in {self.where}; each needs its own name")
        if not self.columns:
            raise InvalidInputError(f"{self.where} is empty; give a CSV whose first line names the columns")

    def require_columns(self, names: Iterable[str]) -> None:
        """Refuse a table without these columns.

        Args:
            names: The columns that are needed.

        Raises:
            InvalidInputError: If one is missing; the message names what there is.
        """
        known = set(self.columns)
        missing = [name for name in names if name not in known]
        if missing:
            from difflib import get_close_matches  # for a message alone

            close = get_close_matches(missing[0], self.columns, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            noun = "column" if len(missing) == 1 else "columns"
            raise InvalidInputError(
                f"{self.where} has no {noun} {listed(missing)}; {hint}its columns are {listed(self.columns)}"
            )

    def read(self, columns: Sequence[str], *, numbers: Sequence[str] = ()) -> Frame:
        """Return some columns.

        Args:
            columns: The columns, in the order wanted.
            numbers: Those that are wanted as float32: faster where they are numbers, and as they are where not.

        Returns:
            A DataFrame of one row or more, indexed from 0.

        Raises:
            InvalidInputError: If the file is no table, or has no rows.
        """
        frame = self._parquet(columns) if self._is_parquet else self._csv(set(numbers))[list(columns)]
        if not len(frame):
            raise InvalidInputError(f"{self.where} names columns and has no rows; give at least one")
        return frame

    def _source_of(self, path: str) -> Path | bytes:
        """Return a file that can be read more than once, or what a pipe holds."""
        if path == STDIO:
            content = stdin_bytes("a table")
            self._is_parquet = content.startswith(_PARQUET)
            return content
        if Path(path).is_file():
            return Path(path)
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise self._unreadable(error) from error

    def _opened(self) -> BinaryIO:
        """Return the file from its beginning."""
        try:
            return io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InvalidInputError:
        """Return what to say of a file that the system does not give."""
        reason = error.strerror or str(error)
        return InvalidInputError(f"cannot read {self.where}: {reason}; give a CSV or Parquet file that you may read")

    def _no_table(self, reason: object) -> InvalidInputError:
        """Return what to say of a file that is something else."""
        kind = "Parquet" if self._is_parquet else "CSV"
        return InvalidInputError(f"{self.where} is no {kind} table: {reason}; save it as {kind} again")

    def _csv_header(self) -> list[str]:
        """Return the names in the first line, separated by what stands there most often of comma, semicolon and tab."""
        try:
            with io.TextIOWrapper(self._opened(), encoding="utf-8-sig", newline="") as lines:
                first = next((line for line in lines if line.strip()), "")
                self.separator = max(_SEPARATORS, key=first.count)
                if "\0" in first:
                    raise self._no_table("its first line holds bytes that are no text")
                cells = csv.reader(chain([first], lines), delimiter=self.separator, skipinitialspace=True)
                return [name.strip() for name in next(cells)] if first else []
        except UnicodeDecodeError as error:
            raise self._no_text(error) from error
        except csv.Error as error:
            raise self._no_table(error) from error

    def _no_text(self, error: UnicodeDecodeError) -> InvalidInputError:
        """Return what to say of bytes that are no UTF-8."""
        return self._no_table(f"it is not text in UTF-8 (byte 0x{error.object[error.start]:02x})")

    def _csv(self, numbers: set[str]) -> Frame:
        """Return all columns of a CSV under their names."""
        dtypes = {i: np.float32 for i, name in enumerate(self._header) if name in numbers}
        frame = self._parsed_numbers(dtypes) if dtypes else None
        if frame is None:
            frame = self._parsed(low_memory=False)
        frame.columns = self._header
        return frame

    def _parsed_numbers(self, dtypes: dict[int, Any]) -> Frame | None:
        """Return the columns, or None if some are not what they should be: read with care, they can be named."""
        try:
            frame = self._parsed(dtype=dtypes)
        except InvalidInputError:
            raise
        except ValueError:
            return None
        return None if np.isinf(frame[list(dtypes)].to_numpy()).any() else frame

    def _parsed(self, **options: Any) -> Frame:
        """Return what pandas makes of a CSV, every column under its position."""
        names = range(len(self._header))
        try:
            # What is too large for float32 becomes infinite, and is refused later, by name.
            with warnings.catch_warnings(), np.errstate(over="ignore"), self._opened() as file:
                warnings.simplefilter("error", self._pandas.errors.ParserWarning)
                return self._pandas.read_csv(
                    file,
                    sep=self.separator,
                    header=0,
                    names=names,
                    index_col=False,
                    skipinitialspace=True,
                    **options,
                )
        except self._pandas.errors.ParserWarning as error:
            raise self._no_table(f"its rows have more cells than the {len(names)} names in its first line") from error
        except self._pandas.errors.ParserError as error:
            raise self._no_table(str(error).strip().removeprefix("Error tokenizing data. C error: ")) from error
        except UnicodeDecodeError as error:
            raise self._no_text(error) from error

    def _parquet_header(self) -> list[str]:
        """Return the names of the columns of a Parquet file."""
        arrow, parquet = pyarrow("reading"), require("pyarrow.parquet", caller="reading Parquet")
        try:
            with self._opened() as file:
                names = parquet.read_schema(file).names
                return ["" if name.startswith(_PANDAS_INDEX) else name for name in names]
        except arrow.ArrowInvalid as error:
            raise self._no_table(error) from error

    def _parquet(self, columns: Sequence[str]) -> Frame:
        """Return some columns of a Parquet file."""
        arrow, parquet = pyarrow("reading"), require("pyarrow.parquet", caller="reading Parquet")
        try:
            with self._opened() as file:
                # What pandas noted in the file would make an index of some columns.
                return parquet.read_table(file, columns=list(columns)).to_pandas(ignore_metadata=True)
        except (arrow.ArrowInvalid, OSError) as error:
            raise self._no_table(error) from error


def pyarrow(doing: str) -> Any:
    """Return pyarrow.

    Args:
        doing: "reading" or "writing", for the message.

    Returns:
        The module.

    Raises:
        MissingBackendError: If it is not installed.
    """
    if not is_available("pyarrow"):
        raise MissingBackendError(
            f"{doing} Parquet needs pyarrow, which is not installed. Install it with: pip install pyarrow",
            name="pyarrow",
        )
    return require("pyarrow", caller=f"{doing} Parquet")


def csv_bytes(columns: dict[str, list[Any]]) -> bytes:
    """Return a CSV in UTF-8; numbers are written so that reading gives them back to the last bit.

    Args:
        columns: Values by name, all of one length.

    Returns:
        The file.

    Example:
        >>> csv_bytes({"prediction": ["a,b", "c"]}).splitlines()
        [b'prediction', b'"a,b"', b'c']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def parquet_bytes(columns: dict[str, list[Any]]) -> bytes:
    """Return a Parquet file.

    Args:
        columns: Values by name, all of one length.

    Returns:
        The file.

    Raises:
        MissingBackendError: If pyarrow is not installed.
    """
    arrow = pyarrow("writing")
    sink = io.BytesIO()
    require("pyarrow.parquet", caller="writing Parquet").write_table(arrow.table(columns), sink)
    return sink.getvalue()


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are.

    Args:
        names: Any number of names.

    Example:
        >>> listed(["a", "b"])
        "'a', 'b'"
    """
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
