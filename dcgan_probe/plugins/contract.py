"""The contract of a probe: what it declares, what it gets, what it returns.

A probe declares a click command under the entry point group ``dcgan_probe.probes`` of any
installed package; `pass_session` gives it the session, and it returns a `Result`. The probes that
ship keep to the same contract.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Protocol

import click

if TYPE_CHECKING:
    from dcgan_probe.results.result import Result
    from dcgan_probe.session import Session


class Probe(Protocol):
    """What the module of a probe holds beside its command: the same, for scripts.

        >>> from dcgan_probe.probes import sample
        >>> probe: Probe = sample
        >>> print(probe.run(Session.open("rooms"), n=4))
        4 samples

    run: takes the session and the probe's own options, and returns a result that saves and draws
    itself. The command passes its options on to it and gives what it returns to `Session.save`.
    """

    @property
    def run(self) -> Callable[Concatenate[Session, ...], Result]: ...


class Last(click.Command):
    """The last of its line, so that options may follow arguments."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        return super().make_context(*args, **{**extra, "allow_interspersed_args": True})


class Opener:
    """Opens the session of a command line when the first command asks for it.

    out: the folder of its results. numbered: whether a file or folder that is there is kept, and
    the new one gets a number; else it is refused.
    """

    def __init__(
        self, open_session: Callable[[], Session], out: Path = Path("out"), numbered: bool = False
    ):
        self._open = open_session
        self.out = out
        self.numbered = numbered

    @functools.cached_property
    def session(self) -> Session:
        return self._open()

    def close(self) -> None:
        if "session" in self.__dict__:
            self.session.close()


def pass_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the session as its first argument.

        >>> @click.command()
        ... @pass_session
        ... def brightness(session):
        ...     session.report({"brightness": session.sample(16).mean().item()})

    Before the command runs, its folder under ``--out`` is reserved, or refused.
    """

    @click.pass_context
    @functools.wraps(function)
    def command(context: click.Context, *args: Any, **options: Any) -> Any:
        session = session_of(context)
        session.start(context.info_name or function.__name__)
        return context.invoke(function, session, *args, **options)

    return command


def session_of(context: click.Context) -> Session:
    """The session of the line that a command is on, for one that may write no results.

    >>> session_of(click.get_current_context()).seed
    0
    """
    return opener_of(context).session


def opener_of(context: click.Context) -> Opener:
    """The opener of the line that a command is on, for one that needs no session."""
    opener = context.find_object(Opener)
    if opener is None:
        raise click.UsageError(f"{context.info_name} runs under the command dcgan-probe")
    return opener
