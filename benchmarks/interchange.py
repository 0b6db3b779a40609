"""Our verdicts on the questions of other tools: `python benchmarks/interchange.py SECONDS OUT.csv`.

Needs MMR_INTERCHANGE, a folder with known.csv (see nbs/15_interchange.ipynb). Rows that OUT.csv has already are kept.
"""
import csv
import sys
import time
from pathlib import Path

from mmr_nb.interchange import interchange_folder, known_verdicts, verify

columns = ['network', 'property', 'known', 'tools_agreeing', 'tools_disagreeing', 'verdict', 'stage',
           'cpu_seconds', 'wall_seconds', 'timeout', 'runtime', 'reason']


def main():
    if len(sys.argv) != 3: sys.exit(__doc__)
    folder, seconds, out = interchange_folder(), float(sys.argv[1]), Path(sys.argv[2])
    if folder is None: sys.exit('error: MMR_INTERCHANGE names no folder')
    done = list(csv.DictReader(out.open())) if out.exists() else []
    known = {(r['network'], r['property']) for r in done}
    with out.open('a', newline='') as f:
        table = csv.DictWriter(f, columns)
        if not done: table.writeheader()
        for row in known_verdicts(folder):
            if (row['network'], row['property']) in known: continue
            cpu, wall = time.process_time(), time.perf_counter()
            a = verify(folder/row['network'], folder/row['property'], seconds)
            table.writerow(dict(row, verdict=a.verdict, stage=a.stage, timeout=seconds, runtime=a.runtime,
                                reason=a.reason, cpu_seconds=round(time.process_time() - cpu, 1),
                                wall_seconds=round(time.perf_counter() - wall, 1)))
            f.flush()


if __name__ == '__main__': main()
