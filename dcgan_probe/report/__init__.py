"""One self-contained HTML file of the results of a chain.

folder -> contents -> a section for each probe (reading, tables, charts, pictures) -> page -> file
"""
