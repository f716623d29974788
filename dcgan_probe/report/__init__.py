"""One self-contained HTML file of what a chain of probes found.

folder -> contents -> a section a probe (reading, tables, charts, pictures) -> page -> file
"""
