"""Browser pages: a server for this machine only, and resumable work files.

`server` carries what a page asks for, `writers` lets one tab at a time change the work, `opening`
serves a page until Ctrl-C, `work_file` resumes a file.
"""
