"""``python -m dcgan_probe``: the same as the command ``dcgan-probe``."""

from dcgan_probe.cli.group import main

main()
