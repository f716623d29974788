"""What pages in a browser share: a server for this machine alone, resumable work files.

`server` carries what a page asks for, `writers` lets one tab at a time change the work, `opening`
serves a page until Ctrl-C, `work_file` resumes a file.
"""
