"""What a compressed network is made of: a table by layer as the paper has it, and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.compress.arrays import EncodedArray, assemble_array, entries_of
from jaxnets.compress.bit_stream import decode_symbols
from jaxnets.study.figures import COLORS, new_figure, save_figure
from jaxnets.study.tables import markdown_table


class LayerRow(NamedTuple):
    """One array of a compressed network.

    Attributes:
        path: of the array.
        entries: of the array.
        nonzero: of them, those that are not 0.
        values: different values in its table; 0 where the array is kept as it is.
        value_bits: bits an entry of the table's numbers, after Huffman coding.
        index_bits: bits of a gap before Huffman coding; 0 where every entry is stored.
        gap_bits: after it.
        table_bytes, value_bytes, index_bytes: of its parts; of a raw array all are values.

    >>> LayerRow("a", 10, 5, 0, 32, 0, 0, 0, 40, 0).bytes
    40
    """

    path: str
    entries: int
    nonzero: int
    values: int
    value_bits: float
    index_bits: int
    gap_bits: float
    table_bytes: int
    value_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        """All parts."""
        return self.table_bytes + self.value_bytes + self.index_bytes


def layer_rows(encoded: Mapping[str, EncodedArray | np.ndarray]) -> list[LayerRow]:
    """What each array costs.

    Args:
        encoded: of `jaxnets.compress.encode_variables`.

    Returns:
        One row an array, in the network's order.

    >>> layer_rows({"params/fc/bias": np.ones(3, np.float32)})[0].bytes
    12
    """
    rows = []
    for path, record in encoded.items():
        entries = entries_of(record.shape)
        if not isinstance(record, EncodedArray):
            nonzero, width = int(np.count_nonzero(record)), 8.0 * record.itemsize
            rows.append(LayerRow(path, entries, nonzero, 0, width, 0, 0, 0, record.nbytes, 0))
            continue
        values, gaps = record.values, record.gaps
        numbers = decode_symbols([values], [record.code])[0]
        nonzero = int(np.count_nonzero(record.table[numbers]))
        stored = max(values.count, 1)
        index = 0
        if gaps is not None and record.gap_code is not None:
            index = len(gaps.data) + 2 * len(gaps.chunk_bits) + len(record.gap_code.order)
        rows.append(
            LayerRow(
                path,
                entries,
                nonzero,
                len(record.table),
                values.bits / stored,
                record.index_bits,
                0.0 if gaps is None else gaps.bits / stored,
                4 * len(record.table),
                len(values.data) + 2 * len(values.chunk_bits),
                index,
            )
        )
    return rows


def layer_table(rows: Sequence[LayerRow], file_bytes: int) -> str:
    """The rows as a Markdown table, biases and statistics together, with a total.

    Args:
        rows: of `layer_rows`.
        file_bytes: of the file on the disk.

    Returns:
        The table. The total's bytes are the file's, names, checksums and the like included.

    Source: Han, Mao, Dally, "Deep Compression", 2016, tables 2 to 5.

    >>> row = LayerRow("params/fc/kernel", 100, 10, 5, 2.0, 4, 1.5, 20, 3, 2)
    >>> print(layer_table([row], 99).splitlines()[-1])
    | all, on disk | 100 | 10.0 % |  |  |  |  |  |  | 24.75 % |
    """
    shown = [row for row in rows if row.values]
    other = [row for row in rows if not row.values]
    body: list[list] = []
    for row in shown:
        name = row.path.removeprefix("params/").removesuffix("/kernel")
        bits = f"{np.log2(max(row.values, 1)):.1f} → {row.value_bits:.2f}"
        index = f"{row.index_bits} → {row.gap_bits:.2f}" if row.index_bits else "dense"
        body.append(
            [
                *(name, f"{row.entries:,}", _percent(row.nonzero / row.entries, 1)),
                *(row.values, bits, index, f"{row.table_bytes:,}", f"{row.value_bytes:,}"),
                *(f"{row.index_bytes:,}", _percent(row.bytes / (4 * row.entries), 2)),
            ]
        )
    if other:
        count, size = sum(row.entries for row in other), sum(row.bytes for row in other)
        body.append(["others, as they are", f"{count:,}", "", "", "", "", "", f"{size:,}", "", ""])
    total, nonzero = sum(r.entries for r in rows), sum(r.nonzero for r in rows)
    all_of_it = ["all, on disk", f"{total:,}", _percent(nonzero / total, 1)]
    body.append([*all_of_it, *[""] * 6, _percent(file_bytes / (4 * total), 2)])
    head = ["layer", "weights", "density", "values", "bits", "index bits", "table", "values, B"]
    return markdown_table([*head, "index, B", "compressed"], body)


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"


def layer_figure(
    rows: Sequence[LayerRow], stages: Mapping[str, tuple[float, float]], path: str | Path
) -> Path:
    """Draw where the bytes are, and what each stage cost in accuracy.

    Args:
        rows: of `layer_rows`.
        stages: name → (bytes, accuracy in per cent), in their order.
        path: of the picture.

    Returns:
        The path.

    Raises:
        JaxnetsError: the file cannot be written.

    >>> import tempfile
    >>> rows = [LayerRow("params/fc/kernel", 100, 10, 5, 2.0, 4, 1.5, 20, 3, 2)]
    >>> stages = {"trained": (400, 90.0), "file": (25, 89.9)}
    >>> layer_figure(rows, stages, Path(tempfile.mkdtemp()) / "layers.png").name
    'layers.png'
    """
    shown = [row for row in rows if row.values]
    height = max(3.4, 0.22 * len(shown) + 1)
    figure, (left, right) = new_figure(2, height=height, width=5.4)
    names = [r.path.removeprefix("params/").removesuffix("/kernel") for r in shown]
    start = np.zeros(len(shown))
    for part, color in (("table", COLORS[3]), ("value", COLORS[0]), ("index", COLORS[4])):
        size = np.array([getattr(row, f"{part}_bytes") for row in shown]) / 1000
        left.barh(names, size, left=start, color=color, label={"value": "values"}.get(part, part))
        start += size
    for place, row in enumerate(shown):
        text = f" {row.nonzero / row.entries:.0%}"
        left.text(start[place], place, text, va="center", fontsize=7)
    left.margins(x=0.12)
    left.invert_yaxis()
    left.tick_params(axis="y", labelsize=8 if len(shown) < 14 else 6)
    left.set_xlabel("kB (and the share of weights that are left)")
    left.legend(frameon=False, loc="lower right")
    sizes = [size / 1000 for size, _ in stages.values()]
    scores = [accuracy for _, accuracy in stages.values()]
    right.plot(sizes, scores, "o-", color=COLORS[0], lw=1.2)
    for (name, (size, accuracy)), up in zip(stages.items(), (1, -1) * len(stages), strict=False):
        right.annotate(
            name,
            (size / 1000, accuracy),
            textcoords="offset points",
            xytext=(0, 7 * up),
            ha="center",
            va="bottom" if up > 0 else "top",
            fontsize=8,
        )
    right.set_xscale("log")
    right.invert_xaxis()
    right.margins(x=0.15, y=0.25)
    right.set_xlabel("kB")
    right.set_ylabel("test accuracy, %")
    return save_figure(figure, path)


def decoded(encoded: EncodedArray) -> np.ndarray:
    """An encoded array back, bit for bit.

    Args:
        encoded: of `jaxnets.compress.encode_array`.

    Returns:
        float32 array.

    >>> from jaxnets.compress.arrays import encode_array
    >>> decoded(encode_array(np.eye(50, dtype=np.float32))).sum().item()
    50.0
    """
    streams = [s for s in (encoded.values, encoded.gaps) if s is not None]
    codes = [c for c in (encoded.code, encoded.gap_code) if c is not None]
    numbers, *gaps = decode_symbols(streams, codes)
    return assemble_array(encoded.shape, encoded.table, numbers, gaps[0] if gaps else None)
