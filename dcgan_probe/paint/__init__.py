"""The page of `dcgan-probe paint`: edit feature maps with a brush.

`opening` serves it until Ctrl-C. `desk` answers what the page asks; `brushes` turns strokes into
edits, `state` holds what was done, `chain` draws images of edits quickly, `work` writes files.
"""
