"""``mglubench inspect``: what the compiler made of the kernels, and whether it is what was pinned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import kernel_options, options
from mglubench.cli.output import chosen_format, console, print_json, print_tables, say
from mglubench.cli.progress_line import progress_bar
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.cli.inspect_sides import Side
    from mglubench.kernels.against_pins import AgainstPins
    from mglubench.kernels.inspect import InspectRow, Subject
    from mglubench.kernels.pins import Pins

EXIT_ERROR, EXIT_REGRESSION, EXIT_LACKING = 1, 3, 4


def inspect(
    variant: Annotated[str | None, typer.Argument(help="Variant. (default: all with kernels of their own)")] = None,
    device: Annotated[str | None, options.what("cuda or cpu. (default: by variant, else cuda)", "TEXT")] = None,
    arch: Annotated[
        str | None, options.what("Architectures. (default: sm_90a, CPU here,avx2,neon, or all pinned)")
    ] = None,
    nm: Annotated[
        str | None, options.what("Numbers of masks. (default: 8, or all that are pinned)", options.WHOLE_NUMBERS)
    ] = None,
    dtype: Annotated[str | None, options.what("Dtypes. (default: float16, CPU float32, or all pinned)")] = None,
    save: Annotated[
        Path | None, typer.Option(parser=options.path, help="Pin what is found in this file, if every kernel compiles.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(parser=options.path, help="Hold what is found against this file of pins.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --save: replace the file.")] = False,
    plugin: options.Plugin = None,
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
) -> int:
    """Registers, spills, occupancy, instructions per weight element and load widths of compiled kernels; no GPU.

    With --device cpu: instructions per weight, vectors, spills and bytes loaded of the CPU kernels' main loop, in the
    assembly for this machine and, compiled only, for AVX2 and NEON.

    Exit code: 0; 1 if a kernel does not compile; 2 for bad input; with --against 3 for a regression (a spill, more
    registers, ...), 4 if a pinned kernel is gone, or nothing is pinned for its compiler or architecture.
    """
    from mglubench.cli.inspect_sides import side_of
    from mglubench.kernels.pins import read_pins, save_pins, why_not_pinned_there

    form = chosen_format(as_json=as_json, as_markdown=as_markdown, wide=wide)
    if save and against:
        raise UsageError("choose one of --save and --against; look at what differs before it is pinned anew")
    if save and (why := why_not_pinned_there(save, force=force)):
        raise UsageError(why)
    side, pins = side_of(device, variant), read_pins(against) if against else None
    wanted = _wanted(side, variant, _choice(side, arch, nm, dtype, pins), pins)
    side.require()
    rows = _inspected(side, wanted.compiled)
    good = all(row["status"] == "ok" for row in rows)
    if pins and against:
        return _against(pins, rows, wanted.looked_at, side.compiler(), form)
    if form == "json":
        print_json(rows)
    else:
        print_tables([side.table(rows)], form)
    if save and good and rows:
        save_pins(save, rows)
        say(f"{len(rows)} kernels pinned in {save}")
    elif save:
        say(f"nothing is pinned in {save}: {'not every kernel can be inspected' if rows else 'there is no kernel'}")
    return 0 if good else EXIT_ERROR


@dataclass(frozen=True, slots=True)
class _Choice:
    archs: Sequence[str]
    nms: Sequence[int]
    dtypes: Sequence[str]

    def takes(self, item: Subject) -> bool:
        return item.arch in self.archs and item.dtype in self.dtypes and item.nm in (0, *self.nms)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is compiled; and what the pins are asked for, which may be there no more."""

    compiled: Sequence[Subject]
    looked_at: frozenset[Subject]


def _choice(side: Side, arch: str | None, nm: str | None, dtype: str | None, pins: Pins | None) -> _Choice:
    return _Choice(
        pins.archs if pins and arch is None else side.archs(side.arch if arch is None else arch),
        pins.nms if pins and nm is None else kernel_options.nms("8" if nm is None else nm),
        pins.dtypes if pins and dtype is None else side.dtypes(side.dtype if dtype is None else dtype),
    )


def _wanted(side: Side, variant: str | None, choice: _Choice, pins: Pins | None) -> _Wanted:
    compiled = side.subjects([variant] if variant else [], choice.archs, choice.nms, choice.dtypes)
    pinned = {key.subject for key in pins.rows} if pins else set()
    looked_at = {item for item in pinned if choice.takes(item) and (not variant or item.variant == variant)}
    if not compiled and not looked_at:
        nms, archs, dtypes = (",".join(map(str, part)) for part in (choice.nms, choice.archs, choice.dtypes))
        raise UsageError(f"{variant or 'no variant'} has no kernel for {archs}, nm={nms} and {dtypes}")
    return _Wanted(compiled, frozenset(looked_at | set(compiled)))


def _inspected(side: Side, wanted: Sequence[Subject]) -> list[InspectRow]:
    rows = []
    with progress_bar(len(wanted), "inspect") as (progress, task):
        for item in wanted:
            rows += side.examine(item)
            progress.update(task, advance=1, description=item.variant)
    return rows


def _against(pins: Pins, rows: Sequence[InspectRow], looked_at: frozenset[Subject], compiler: str, form: str) -> int:
    from mglubench.kernels.against_pins import hold_against
    from mglubench.report.pin_tables import held_row, pins_notes, pins_table

    found = hold_against(pins, rows, looked_at, compiler)
    if form == "json":
        counts = {str(fate): count for fate, count in found.counts().items()}
        left_out, held = found.left_out, [held_row(item) for item in found.held]
        print_json({"compiler": found.compiler, "counts": counts, "left_out": left_out, "kernels": held})
        return _code(found)
    table = pins_table(found)
    if table.rows:
        print_tables([table], form)
    else:
        console().print("every kernel is as it was pinned", markup=False)
        say(*pins_notes(found))
    return _code(found)


def _code(found: AgainstPins) -> int:
    from mglubench.kernels.against_pins import Fate

    if found.has(Fate.ERROR):
        return EXIT_ERROR
    if found.has(Fate.REGRESSION):
        return EXIT_REGRESSION
    return EXIT_LACKING if found.has(Fate.GONE, Fate.INCOMPARABLE) else 0
