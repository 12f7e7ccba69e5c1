#!/bin/bash
# Finishes notebook 03: run from anywhere, when the proof that runs is through or was stopped.
set -e
cd /tmp/wt/nb03
P=/work/main/.venv/bin/python; export OMP_NUM_THREADS=1
$P -m helpers prove --notebook 03 --jobs 1        # goes on at the last finished network
$P /tmp/w/nb03/finish.py                          # answers, opening, list of the first form (words as expected: check)
EVIDENCE=check OUTPUTS=stored $P -m helpers refresh --notebook 03 --jobs 1
$P -m tests.anatomy 03
git add -A data notebooks tests README.md && git commit -m "Notebook 03: proved and answered"
