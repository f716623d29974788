"""The command ``dcgan-probe``: a lazy, chained click group.

Nothing here imports torch: ``--help`` answers at once, and each command imports what it runs. The
built-in commands are the modules beside this one; probes are found by entry point.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_probe import plugins, terminal
from dcgan_probe.cli import border
from dcgan_probe.cli.checkpoint_options import checkpoint_options, take_facts
from dcgan_probe.cli.convert import convert
from dcgan_probe.cli.dedup import dedup
from dcgan_probe.cli.diff import diff
from dcgan_probe.cli.new_probe import write_probe
from dcgan_probe.cli.plugins import list_plugins
from dcgan_probe.cli.show import show
from dcgan_probe.cli.train import train
from dcgan_probe.errors import InputError
from dcgan_probe.plugins import completion

WEIGHT_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
LAST = f"{__name__}.last"  # name and command, in the meta of click's context

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from click.shell_completion import CompletionItem

    from dcgan_probe.session import Session


class Mistake(click.ClickException):
    """An InputError on the command line: one line, exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """The built-in commands, and the probes of all installed packages."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        # Nothing is shown in a window. The name of a backend that a notebook's kernel or a profile
        # exports may be one that is not installed here, and matplotlib would not even be imported.
        os.environ["MPLBACKEND"] = "agg"
        # It warns of a home that cannot be written, which does not matter here.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        run = functools.partial(super().main, *args, standalone_mode=False, **extra)
        return border.leave(run) if standalone_mode else run()

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        terminal.accept_all_text()
        context.meta[terminal.ARGUMENTS] = list(args)
        return super().parse_args(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *_probes(context)})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        own = super().get_command(context, name)
        points = _probes(context).get(name)
        if own is not None or points is None:
            return own
        if context.resilient_parsing:
            # A shell that completes asks every command for its help: that imports none of them.
            return click.Command(name, short_help=_summary(points))
        return _load(points)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if context.resilient_parsing and name not in self.commands:
            return name, _load_silently(name, _probes(context).get(name)), args[1:]
        if name.startswith("-") and name not in context.help_option_names:
            raise click.NoSuchOption(name.partition("=")[0], ctx=context)
        known = self.list_commands(context)
        if not name.startswith("-") and name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else f"expected one of: {', '.join(known)}"
            raise Mistake(f"unknown command {name!r}, {hint}")
        resolved = super().resolve_command(context, args)
        context.meta[LAST] = resolved[:2]
        found, command, rest = resolved
        return found, command, _options_first(command, rest) if command else rest

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        # click would import every probe for its short help; the source's docstring will do.
        probes = _probes(context)
        rows = []
        for name in self.list_commands(context):
            own = super().get_command(context, name)
            rows.append((name, own.get_short_help_str(70) if own else _summary(probes[name])))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except click.NoSuchOption as error:
            if message := _right_place(context, error.option_name):
                raise Mistake(message) from error
            raise
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            # Here, and not only in `main`: --verbose holds for as long as the context is open.
            terminal.log("where it was found:", error)
            raise border.ending(error) from error


def _probes(context: click.Context) -> dict[str, list[EntryPoint]]:
    """The probes, looked for once a command line: every installed package is asked."""
    only_ours = context.find_root().params.get("no_plugins", False)
    key = f"{__name__}.probes.{only_ours}"
    if key not in context.meta:
        context.meta[key] = plugins.find(only_ours=only_ours)
    probes: dict[str, list[EntryPoint]] = context.meta[key]
    return probes


def _summary(points: list[EntryPoint]) -> str:
    try:
        return plugins.summary(plugins.entry_point(points))
    except InputError as error:
        return f"(broken: {error})"


def _load(points: list[EntryPoint]) -> click.Command:
    try:
        return plugins.load(plugins.entry_point(points))
    except InputError as error:
        raise Mistake(str(error)) from error


def _load_silently(name: str, points: list[EntryPoint] | None) -> click.Command:
    """A probe whose own options a shell completes: imported in silence; a broken one has none."""
    if points is not None:
        with terminal.silence(), contextlib.suppress(BaseException):
            return plugins.load(plugins.entry_point(points))
    return click.Command(name, add_help_option=False)


def _right_place(context: click.Context, option: str) -> str:
    """Say where an option belongs that was typed too late; "" for an unknown option."""
    name, last = context.meta.get(LAST, ("", context.command))
    arguments = [each for each in last.params if isinstance(each, click.Argument)]
    behind = " ".join(each.make_metavar(context) for each in arguments)
    for owner, words, place in (
        (last, ["dcgan-probe", name, option, behind], behind),
        (context.command, ["dcgan-probe", option, name], "the command"),
    ):
        for each in owner.params:
            if place and option in (*each.opts, *each.secondary_opts):
                if not getattr(each, "is_flag", False):
                    words.insert(words.index(option) + 1, "...")
                return f"{option} goes before {place}: {' '.join(words)}"
    return ""


def _options_first(command: click.Command, words: list[str]) -> list[str]:
    """Move options that were typed behind a command's arguments before them.

    click ends a command of a chain at its first argument. Where the number of arguments is known,
    an option behind the last of them can only be the same command's.
    """
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    if any(each.nargs < 0 or not each.required for each in arguments):
        return words
    count = sum(each.nargs for each in arguments)
    options = {
        name: each
        for each in command.params
        if isinstance(each, click.Option)
        for name in (*each.opts, *each.secondary_opts)
    }
    first: list[str] = []
    then: list[str] = []
    at = 0
    while at < len(words):
        name, equals, _ = words[at].partition("=")
        option = options.get(name)
        if option is None and (len(then) == count or words[at].startswith("-")):
            break
        if option is None:
            then.append(words[at])
            at += 1
        else:
            values = 0 if option.is_flag or option.count or equals else option.nargs
            first += words[at : at + 1 + values]
            at += 1 + values
    return [*first, *then, *words[at:]]


def folder_name(model: str) -> str:
    """What the folder of a model's results is called, without opening it.

    >>> folder_name("runs/netG_epoch_24.pth"), folder_name("hub:org/bedrooms")
    ('netG_epoch_24', 'bedrooms')
    """
    path = Path(model.removeprefix("hub:"))
    name = path.stem if path.suffix in WEIGHT_FILES else path.name or path.resolve().name
    # Training and deduplication have folders of their own under out.
    return f"{name}-model" if name in ("train", "dedup") else name.replace(":", ".")


def _complete_model(
    _context: click.Context, _option: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Names that ship, and files."""
    from dcgan_probe.checkpoints import fixtures

    return completion.names(fixtures.shipped(), typed)


def _complete_device(
    _context: click.Context, _option: click.Parameter, typed: str
) -> list[CompletionItem]:
    return completion.names(("auto", "cpu", "cuda", "mps"), typed)


@click.group(
    cls=Commands,
    chain=True,
    no_args_is_help=True,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]},
)
@click.option(
    "--model",
    default="rooms",
    shell_complete=_complete_model,
    help="Network to open: one that ships (rooms, cells, faces, people, svhn), a path, "
    "hub:org/name, or package.module:factory, which runs your code to build any GAN.",
)
@click.option(
    "--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of all random draws."
)
@click.option(
    "--device",
    default="auto",
    shell_complete=_complete_device,
    help="auto, cpu, cuda, cuda:N or mps; auto uses CUDA if there is a GPU.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for results, with one sub-folder for each command. Default: out/MODEL, where a "
    "repeated command gets a numbered sub-folder.",
)
@click.option("--force", is_flag=True, help="Overwrite existing results.")
@click.option(
    "--edit",
    "edits",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Edit to apply first: selection.json, edit.json or painting.json. Repeatable.",
)
@click.option(
    "--report", is_flag=True, help="At the end, write all results in OUT to one HTML file."
)
@click.option(
    "--figure-format",
    "formats",
    multiple=True,
    type=click.Choice(("pdf", "svg")),
    help="Write figures also in this format. Repeatable.",
)
@click.option(
    "--figure-zoom",
    "zoom",
    default=1,
    type=click.IntRange(1, 4),
    help="How many times larger PNG figures are: 1 is 100 dots per inch or more.",
)
@click.option(
    "--figure-columns",
    "columns",
    type=click.IntRange(1, 64),
    help="Samples in a row of a sheet.  [default: 16 for sample, fewer for others]",
)
@click.option("--json", "as_json", is_flag=True, help="Print each result as one line of JSON.")
@click.option("--quiet", is_flag=True, help="Print only errors, and the lines of --json.")
@click.option("--verbose", is_flag=True, help="Log each step to stderr, and show tracebacks.")
@click.option("--no-plugins", is_flag=True, is_eager=True, help="Ignore plugins of other packages.")
@checkpoint_options
@click.version_option(package_name="dcgan-probe")
@click.pass_context
def main(
    context: click.Context,
    model: str,
    seed: int,
    device: str,
    out: Path | None,
    force: bool,
    edits: tuple[Path, ...],
    report: bool,
    formats: tuple[str, ...],
    zoom: int,
    columns: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    no_plugins: bool,
    **said: Any,
) -> None:
    """Open a trained DCGAN: see what its filters learned, prove what they cause, edit it.

    Commands on one line form a chain: `sample` below draws with the edit that `forget` made.
    Options before the first command apply to all of them.

    \b
        dcgan-probe --model rooms --seed 3 forget sample --n 64
        dcgan-probe COMMAND --help
    """

    facts = take_facts(said)
    numbered = out is None and not force
    folder = Path("out", folder_name(model)) if out is None else out

    def open_session() -> Session:
        from dcgan_probe import checkpoints
        from dcgan_probe.edits import edit
        from dcgan_probe.session import Session

        checkpoint = checkpoints.load(model, facts)
        session = Session(checkpoint, seed, device, folder, force, numbered)
        terminal.log(f"opened {session.caption()}, on {session.device}")
        for path in edits:
            session.edit(edit.read(path))
        return session

    terminal.begin(context, as_json, quiet, verbose, no_plugins)
    context.obj = plugins.Opener(open_session, folder, numbered)
    if report and not numbered:
        from dcgan_probe.report import page

        # A long chain is not refused at its end for what is there at its beginning.
        page.check_free(folder / page.NAME, force)
    context.call_on_close(context.obj.close)
    if formats or zoom > 1 or columns:
        from dcgan_probe.figures.output import also  # matplotlib, which most lines need later

        context.with_resource(also(*formats, zoom=zoom, columns=columns))


@main.result_callback()
@click.pass_context
def finish(context: click.Context, *_results: Any, report: bool, **_: Any) -> None:
    """What comes after the last command of a line."""
    if report:
        from dcgan_probe.report import page
        from dcgan_probe.storage import files

        line = context.obj
        to = files.next_free(line.out / page.NAME) if line.numbered else None
        path = page.write(line.out, to, force=context.params["force"])
        terminal.answer({"report": str(path)}, f"wrote {path}")


for command in (convert, dedup, train, show, diff, list_plugins, write_probe):
    main.add_command(command)
