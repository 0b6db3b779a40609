"""Run the notebooks as tests, each in a process of its own.

`python tools/test_notebooks.py` tests all of nbs/, `... 02_regions 03_distances` only those, `--flags 'slow'` the cells
with that flag too. A notebook passes when nbdev's own test function runs it from top to bottom. `N_WORKERS` (2) at a
time, each with `NB_TIMEOUT` (900) seconds. Text outputs that came out otherwise than those stored are listed (numbers
up to two percent, lines that tell times apart); with `STRICT_OUTPUTS=1` they fail the notebook.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from common import fail, notebooks, root, settings


number_re = re.compile(r'[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?')
time_re = re.compile(r'\b(?:s|ms|min|minutes?|seconds?|hours?|faster|quicker)\b|it/s|0x[0-9a-f]+', re.I)


def said(outputs):
    "The text of a cell's outputs: (what isn't a number, the numbers), lines that tell times left out"
    texts = [t for o in outputs for t in (o.get('text', ''), (o.get('data') or {}).get('text/plain', ''))]
    lines = '\n'.join(t if isinstance(t, str) else ''.join(t) for t in texts).split('\n')
    text = '\n'.join(line for line in lines if not time_re.search(line))
    return re.sub(r'[\s┃│|-]+', ' ', number_re.sub('#', text)).strip(), [float(n) for n in number_re.findall(text)]


def differs(stored, now):
    "Does a cell say something else than what is stored? (Figures and widgets apart)"
    (words, numbers), (new_words, new_numbers) = said(stored), said(now)
    if '...' in words + new_words: return False  # a table that was cut to the width of some screen
    if words != new_words or len(numbers) != len(new_numbers): return True
    return any(abs(a - b) > 1e-6 + .02*max(abs(a), abs(b)) for a, b in zip(numbers, new_numbers))


def stale(path, ran):
    "Cells whose stored text is not what running them gave, as lines to print"
    stored = {c['id']: c for c in json.loads(path.read_text(encoding='utf-8'))['cells']}
    for cell in ran.cells:
        old = stored.get(cell.get('id'))
        if not old or cell.cell_type != 'code' or not hasattr(cell, 'outputs') or not old['outputs']: continue
        if differs(old['outputs'], cell.outputs):
            show = lambda outputs: ' '.join(''.join(o.get('text') or (o.get('data') or {}).get('text/plain', ''))
                                            for o in outputs)[:160]
            yield f"cell {cell['id']}: stored {show(old['outputs'])!r}, now {show(cell.outputs)!r}"


def run_one(path, flags):
    "In the child: test the notebook at `path`; the exit code says whether it passed"
    from pathlib import Path

    import nbdev.test
    class Shell(nbdev.test.CaptureShell):
        "Keeps the notebook that was run"
        def run_all(self, nb, *args, **kwargs):
            Shell.ran = nb
            return super().run_all(nb, *args, **kwargs)
    nbdev.test.CaptureShell = Shell
    sys.path.pop(0)  # notebooks import the package, never the tools
    skip = settings()['tst_flags'].split()
    ok, _ = nbdev.test.test_nb(Path(path), skip_flags=skip, force_flags=flags.split(), basepath=root)
    changed = list(stale(Path(path), Shell.ran)) if ok else []
    for line in changed: print('STALE', Path(path).stem, line)
    sys.exit(0 if ok and not (changed and os.environ.get('STRICT_OUTPUTS')) else 1)


def spawn(path, flags, timeout):
    "Test one notebook in a child; -> (name, passed, seconds, what it printed)"
    start = time.time()
    with tempfile.TemporaryFile('w+', encoding='utf-8', errors='replace') as log:
        child = subprocess.Popen([sys.executable, __file__, '--one', str(path), '--flags', flags], cwd=root/'nbs',
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try: code, why = child.wait(timeout), ''
        except subprocess.TimeoutExpired: code, why = 1, f'stopped after {timeout:.0f} s (NB_TIMEOUT)\n'
        finally:
            child.kill()
            child.wait()
        log.seek(0)
        out = log.read() + why
    if code < 0: out += f'the process ended by signal {-code}\n'
    return path.stem, code == 0, time.time() - start, out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', help='notebooks, such as 02_regions; none: all of them')
    p.add_argument('--flags', default='', help='flagged cells to run too, such as "slow cuda"')
    p.add_argument('--one', help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.one: run_one(args.one, args.flags)
    files = notebooks()
    if args.names:
        names = {re.sub(r'\.ipynb$', '', os.path.basename(n)) for n in args.names}
        if missing := names - {f.stem for f in files}: fail(f"no notebook {', '.join(sorted(missing))} in nbs/")
        files = [f for f in files if f.stem in names]
    if not files: fail('no notebooks in nbs/')
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    workers, timeout = int(os.environ.get('N_WORKERS', 2)), float(os.environ.get('NB_TIMEOUT', 900))
    print(f"testing {len(files)} notebook{'s' * (len(files) != 1)}, {workers} at a time", flush=True)
    start, failed = time.time(), []
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(spawn, f, args.flags, timeout) for f in files]
        for name, ok, seconds, out in (job.result() for job in as_completed(jobs)):
            print(f"{'ok    ' if ok else 'FAILED'} {name:24} {seconds:6.1f} s", flush=True)
            for line in out.splitlines():
                if line.startswith('STALE'): print('  ' + line)
            if not ok:
                failed.append(name)
                print(out, flush=True)
    print(f'{time.time() - start:.0f} s in all')
    if failed: print('failed: ' + ', '.join(sorted(failed)))
    print(f'{len(files) - len(failed)} passed, {len(failed)} failed', flush=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__': main()
