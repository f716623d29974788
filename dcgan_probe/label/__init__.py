"""A page to draw boxes on samples, or to pick samples of a concept: `dcgan-probe label`.

`opening` serves it until Ctrl-C: `server` carries what `desk` answers; `work` and `picks` are what
it writes, `learning` proposes boxes and previews edits.
"""

MAX_SAMPLES = 1000  # on one page, and on one picture of a size that browsers draw
