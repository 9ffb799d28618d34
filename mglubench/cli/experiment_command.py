"""``mglubench experiment``: small language models with each kind of layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import OptionInfo

from mglubench.cli import options
from mglubench.cli.help_pages import HOW, OUTPUT, RUN, GroupedCommand
from mglubench.cli.output import chosen_format, print_json, print_tables, say
from mglubench.cli.progress_line import progress_bar
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.experiments.setting import Setting
    from mglubench.experiments.telling import Telling

experiment = typer.Typer(
    name="experiment",
    help="Train small decoders on bytes of text with each kind of layer, and print what they came to.",
    rich_markup_mode=None,
    # An error of its commands is one line, like everybody's.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)

TRAIN, MODEL = "What to train", "The model"


def _number(words: str, usual: int, group: str = HOW) -> OptionInfo:
    """The option of a number of the setting."""
    words = f"{words} (default: {usual})"
    option: OptionInfo = typer.Option(min=1, metavar="INTEGER", help=words, rich_help_panel=group)
    return option


def _rates(words: str) -> OptionInfo:
    option: OptionInfo = typer.Option(help=words, metavar=options.NUMBERS, rich_help_panel=HOW)
    return option


def _file(words: str, group: str) -> OptionInfo:
    option: OptionInfo = typer.Option(parser=options.path, help=words, rich_help_panel=group)
    return option


Out = Annotated[Path | None, _file("Run folder. (default: runs/experiment-...)", RUN)]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue the run in --out; other options must be as before.", rich_help_panel=RUN),
]
Of = Annotated[Path | None, _file("A stored run: print it, train nothing.", RUN)]
Text = Annotated[Path | None, _file("File or folder to train on. (default: Django's documentation)", TRAIN)]
Quick = Annotated[
    bool, typer.Option("--quick", help="Small models and few steps, to see it work.", rich_help_panel=TRAIN)
]
Picture = Annotated[Path | None, _file("Also draw the curves into this .png, .svg or .pdf file.", OUTPUT)]
Arms = Annotated[
    str,
    typer.Option(help="Arms. (default: all; four of them with --quick)", metavar=options.WORDS, rich_help_panel=TRAIN),
]
Rates = Annotated[str, _rates("Learning rates; one of several is chosen per arm. (default: 1e-3,3e-3,1e-2)")]
Factors = Annotated[str, _rates("Rates of mask logits over the others', chosen along with them. (default: 1)")]
Threads = Annotated[
    int, typer.Option(min=1, metavar="INTEGER", help="Threads of torch.", show_default=True, rich_help_panel=RUN)
]
QUICK_ARMS = ("gelu", "swiglu", "nm1", "nm4")
_SIZES = (
    "steps",
    "seeds",
    "sweep_steps",
    "retrain_steps",
    "every",
    "tests",
    "h",
    "d",
    "layers",
    "heads",
    "context",
    "batch",
)


def _command(name: str, does: str) -> Callable[..., int]:
    """The command of one experiment; all take the same options."""

    def command(
        *,
        quick: Quick = False,
        arms: Arms = "",
        text: Text = None,
        steps: Annotated[int | None, _number("Steps of a trial.", 1000)] = None,
        seeds: Annotated[int | None, _number("Trials that an arm gets.", 3)] = None,
        rates: Rates = "",
        mask_factors: Factors = "",
        sweep_steps: Annotated[int | None, _number("Steps of the trials that choose a rate.", 200)] = None,
        retrain_steps: Annotated[int | None, _number("Steps of a converted model.", 300)] = None,
        every: Annotated[int | None, _number("Steps between evaluations.", 100)] = None,
        tests: Annotated[int | None, _number("Windows of text that an evaluation looks at.", 256)] = None,
        h: Annotated[int | None, _number("Hidden size.", 128, MODEL)] = None,
        d: Annotated[int | None, _number("Intermediate size.", 512, MODEL)] = None,
        layers: Annotated[int | None, _number("Layers.", 4, MODEL)] = None,
        heads: Annotated[int | None, _number("Heads of attention.", 4, MODEL)] = None,
        context: Annotated[int | None, _number("Bytes of text that a model sees at once.", 64, MODEL)] = None,
        batch: Annotated[int | None, _number("Sequences a step.", 16)] = None,
        threads: Threads = 1,
        out: Out = None,
        resume: Resume = False,
        of: Of = None,
        picture: Picture = None,
        as_json: options.Json = False,
        as_markdown: options.Markdown = False,
        wide: options.Wide = False,
    ) -> int:
        said = {key: value for key, value in locals().items() if key in _SIZES and value is not None}
        said |= {
            key: _numbers(key, words) for key, words in (("rates", rates), ("mask_factors", mask_factors)) if words
        }
        form = chosen_format(as_json=as_json, as_markdown=as_markdown, wide=wide)
        if of is None:
            folder = _trained(
                name, _setting(said, quick=quick), _arms(name, arms, quick=quick), text, out, threads, resume=resume
            )
        elif said or quick or arms or text or out or resume:
            raise UsageError("--of prints a stored run and trains nothing; leave the other options out")
        else:
            folder = of
        return _show(folder, form, picture)

    command.__doc__ = does
    return command


def _numbers(name: str, words: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"--{name.replace('_', '-')} takes numbers with commas between them, got {words!r}") from None


def _setting(said: Mapping[str, object], *, quick: bool) -> Setting:
    from mglubench.experiments.setting import QUICK, Setting

    return Setting.from_dict({**(QUICK if quick else Setting()).to_dict(), **said})


def _arms(name: str, given: str, *, quick: bool) -> list[str]:
    from mglubench.experiments.arms import ARMS, arms_named

    if name == "convert":
        if given:
            raise UsageError("convert takes no --arms: it converts a SwiGLU, and says to what")
        return []
    arms = arms_named(given.split(",") if given else QUICK_ARMS if quick else list(ARMS))
    if name == "masks":
        if given and (without := [arm.name for arm in arms if not arm.has_logits]):
            raise UsageError(f"{without[0]} has no masks that train, so there is nothing to see of them; try nm1,nm4")
        arms = [arm for arm in arms if arm.has_logits]
    return [arm.name for arm in arms]


def _trained(
    name: str, setting: Setting, arms: list[str], text: Path | None, out: Path | None, threads: int, *, resume: bool
) -> Path:
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the run")
    from mglubench.experiments.corpus import read_corpus
    from mglubench.runner.sweep import fresh_folder

    corpus = read_corpus(text, setting.context)
    folder = out or fresh_folder(f"experiment-{name}")
    from mglubench.experiments.story import Experiment, run_experiment

    with _progress(setting) as telling:
        asked = Experiment(name, setting, arms, corpus)
        run_experiment(asked, folder, resume=resume, telling=telling, threads=threads)
    return folder


@contextmanager
def _progress(setting: Setting) -> Iterator[Telling]:
    from mglubench.experiments.telling import Telling

    with progress_bar(0, "experiment") as (screen, task):
        screen.update(task, visible=False)

        def move(done: float, total: float, what: str) -> None:
            screen.update(task, completed=done, total=total, description=what, visible=True)

        yield Telling(setting, say, move)


def _show(folder: Path, form: str, picture: Path | None) -> int:
    from mglubench.experiments.curves import curves
    from mglubench.experiments.experiment_tables import all_tables, heading
    from mglubench.experiments.trial_record import read_header, read_rows
    from mglubench.report.chart import save
    from mglubench.report.render import to_plain

    header, rows = read_header(folder), list(read_rows(folder))
    tables = all_tables(header, rows)
    if form == "json":
        print_json(
            {
                "run": header.to_dict(),
                "tables": [to_plain(table) for table in tables],
                "rows": [r.to_dict() for r in rows],
            }
        )
    else:
        print_tables(tables, form, heading=heading(header))
    if picture is not None:
        save(curves(header, rows), picture)
    say(f"\n{len(rows)} evaluations, stored in {folder}")
    return 1 if any(row.reason for row in rows) or not rows else 0


for _name, _does in (
    ("ablation", "Train every arm with every seed, at a learning rate of its own; print losses with their spread."),
    ("masks", "What masks do while they train: flipped bits beside those under noise, gate shares, entropy."),
    ("convert", "From a trained SwiGLU to masked layers: what is lost at once, and what retraining recovers."),
):
    experiment.command(_name, cls=GroupedCommand, short_help=_does)(_command(_name, _does))
