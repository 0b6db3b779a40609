"""Make the tree ready to commit: first cells, clean, export, re-run the notebooks that differ from HEAD, README.

A notebook is run from top to bottom where it lies and keeps its new outputs. Cells flagged `notest` are left as they
are; so are `cuda` cells where there is no GPU, `slow` ones with `SLOW=0`, and notebooks with `skip_exec: true`.
"""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from common import install_cell, notebooks, root, settings


def tool(*cmd):
    "Run a command of this environment in the project root"
    subprocess.run([Path(sys.executable).parent/cmd[0], *cmd[1:]], cwd=root, check=True)


def add_install_cells():
    "Give each notebook the cell that installs the package where it is missing, as its second one"
    import nbformat
    want = install_cell(settings())
    for path in notebooks():
        nb = nbformat.read(path, 4)
        first = want.split('\n')[1]
        if nb.cells[1].source == want: continue
        if first in nb.cells[1].source: nb.cells[1].source = want
        else: nb.cells.insert(1, nbformat.v4.new_code_cell(want))
        nbformat.write(nb, path)


def changed():
    "Notebooks that differ from HEAD, or that git does not know yet"
    def names(*cmd):
        out = subprocess.run(['git', *cmd], cwd=root, capture_output=True, text=True)
        return set() if out.returncode else {root/f for f in out.stdout.split('\0') if f}
    if subprocess.run(['git', 'rev-parse', '-q', '--verify', 'HEAD'], cwd=root, capture_output=True).returncode:
        return notebooks()
    new = (names('diff', '-z', '--name-only', 'HEAD', '--', 'nbs')
           | names('ls-files', '-z', '--others', '--exclude-standard', '--', 'nbs'))
    return [p for p in notebooks() if p in new]


def flags_off():
    "Flags of the cells whose committed output is kept"
    import torch
    return ({'notest'} | ({'slow'} if os.environ.get('SLOW') == '0' else set())
            | (set() if torch.cuda.is_available() else {'cuda'}))


def drop_chatter(nb):
    "Remove the lines that HiGHS prints now and then behind Python's back"
    for cell in nb.cells:
        for o in cell.get('outputs', []):
            if o.output_type == 'stream': o.text = re.sub(r'^HighsMipSolverData::.*\n?', '', o.text, flags=re.M)
        if cell.get('outputs'): cell.outputs = [o for o in cell.outputs if o.output_type != 'stream' or o.text]


def rerun(path, skip):
    "Run the notebook at `path` from top to bottom and keep its outputs"
    import nbformat
    from nbclient import NotebookClient

    class Client(NotebookClient):
        "Runs a notebook but for the cells with a flag in `skip`"
        async def async_execute_cell(self, cell, cell_index, **kwargs):
            head = re.match(r'(?:\s*#\s*\|.*\n?)*', cell.source)[0]
            if skip & set(re.findall(r'#\s*\|\s*([\w-]+)', head)) or re.search(r'eval:\s*false', head): return cell
            return await super().async_execute_cell(cell, cell_index, **kwargs)

    nb = nbformat.read(path, 4)
    if any('skip_exec: true' in c.source for c in nb.cells[:2] if c.cell_type != 'code'):
        return print('  left as it is (skip_exec)')
    client = Client(nb, timeout=3600, kernel_name='python3', extra_arguments=['--log-level=ERROR'],
                    resources={'metadata': {'path': str(path.parent)}})
    client.execute()
    drop_chatter(nb)
    nbformat.write(nb, path)


def main():
    os.chdir(root)
    from nbclient.exceptions import CellExecutionError
    print('clean and export', flush=True)
    add_install_cells()
    tool('nbdev_clean')
    tool('nbdev_export')
    todo, skip = changed(), flags_off()
    print(f"to run, as they differ from HEAD: {len(todo)}"
          + (f"; cells flagged {', '.join(sorted(skip))} keep their output" if todo else ''), flush=True)
    for path in todo:
        print(f'run {path.name}', flush=True)
        start = time.time()
        try: rerun(path, skip)
        except CellExecutionError as e:
            sys.exit(re.sub(r'\x1b\[[0-9;]*m', '', f'error: {path.name} stopped, and stays as it was\n{e}'))
        print(f'  {time.time() - start:.0f} s', flush=True)
    tool('nbdev_clean')
    tool('nbdev_export')
    tool('python', 'tools/readme.py')


if __name__ == '__main__': main()
