"""Print the address of a page, open it in a browser, and serve it until Ctrl-C."""

from __future__ import annotations

import getpass
import os
import sys
import webbrowser

import click

from dcgan_probe.pages.server import Server


def serve(server: Server, before: list[str], after: str) -> None:
    """Serve a page until Ctrl-C.

    before, after: lines for stderr around the address.
    """
    lines = list(before)
    if tunnel := forwarding(server.port, os.environ):
        lines += [f"On your own machine, type:  {tunnel}", "and open there:"]
    lines += [server.address, after]
    try:  # from here on the user may end it: the line that says so is about to be read
        click.echo("\n".join(lines), err=True)
        if not tunnel and _has_browser():
            webbrowser.open(server.address)
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        click.echo(err=True)


def forwarding(port: int, environment: os._Environ[str] | dict[str, str]) -> str:
    """The ssh command that brings a port here to the user's machine; "" if this is that machine.

    >>> forwarding(43121, {"SSH_CONNECTION": "10.0.0.2 50022 10.0.0.9 2222", "USER": "ada"})
    'ssh -N -L 43121:127.0.0.1:43121 -p 2222 ada@10.0.0.9'
    """
    parts = environment.get("SSH_CONNECTION", "").split()
    if len(parts) != 4:
        return ""
    host, ssh_port = parts[2:]
    user = environment.get("USER") or getpass.getuser()
    other = "" if ssh_port == "22" else f"-p {ssh_port} "
    return f"ssh -N -L {port}:127.0.0.1:{port} {other}{user}@{host}"


def _has_browser() -> bool:
    """Whether there is one with a window: one in the terminal would take the terminal over."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
