"""A page to draw boxes on samples, or to pick samples of a concept: `dcgan-probe label`.

`command` opens it, `server` serves it, `work` and `picks` are what it writes, `learning` is what it
asks of the probes. Like a probe it is found by entry point, and the core does not import it.
"""
