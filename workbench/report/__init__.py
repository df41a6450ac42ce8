"""Headless runs of notebooks: prepare a run folder, launch it, close it, compare what it recorded.

A run is a folder::

    request.json    what is asked: notebook, values, limits (written by ``prepare``)
    notebook.ipynb  the notebook as it was when asked, then as far as it ran
    recorded.json   figures stated with ``wb.record``
    results/        results given to ``wb.record``
    log.txt         what the processes of the run printed outside cells
    report.html     the page
    drift.html      what left its baseline, if this is the run of a check
    run.json        how it ended; written last, so a folder that has it is finished
    .lock           held by whoever runs it
"""
