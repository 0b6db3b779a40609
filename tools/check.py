"""Is what git tracks what the notebooks give? Looks, changes nothing.

Fails when `nbdev_clean` or `nbdev_export` would change a file, when README.md is not what index.ipynb gives, when a
notebook's output, a result or a card holds an absolute path of the machine, when the docs would drop text of a
notebook's first cell, when a module imports a private name or against the order of the house, when two modules export
one name, when a cell that draws holds no picture or a picture no alt text, when a link leads nowhere, when imports
share a cell with other code, and when codespell knows a word to be misspelt.
"""
import filecmp
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import copy_tracked, notebooks, root, tracked
from house import dead_links, lost_readers, missing_alts, missing_pictures, mixed_imports, twice, wrong_imports
from spelling import misspelt

homes = ('/home/', '/root/', '/tmp/', '/work/', '/Users/', '/mnt/', '/content/', '/opt/', '/var/folders/',
         'C:\\Users\\')
path_re = re.compile(r'(?<![\w.:/~-])(?:' + '|'.join(map(re.escape, [*homes, str(root)])) + ')')


def run(cmd, cwd):
    "Run a command of this environment, its output shown when it fails"
    out = subprocess.run([Path(sys.executable).parent/cmd[0], *cmd[1:]], cwd=cwd, stdin=subprocess.DEVNULL, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if out.returncode: print(out.stdout, file=sys.stderr)
    return out.returncode == 0


def drift():
    "Files that `nbdev_clean`, then `nbdev_export`, would change or make, tried in a copy of the tree"
    wrong = []
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        files = copy_tracked(tmp)
        for cmd in ('nbdev_clean', 'nbdev_export'):
            if not run([cmd], tmp): return [f'{cmd} failed']
            now = {p.relative_to(tmp).as_posix() for p in tmp.rglob('*') if p.is_file()}
            wrong += [f'{cmd} would change {f}' for f in files
                      if f in now and not filecmp.cmp(root/f, tmp/f, shallow=False)]
            wrong += [f'{cmd} would make {f}' for f in sorted(now - set(files)) if '__pycache__' not in f]
            wrong += [f'{cmd} would remove {f}' for f in files if f not in now]
            for f in files:  # so that each command answers for its own changes
                if f in now: shutil.copyfile(root/f, tmp/f)
    return list(dict.fromkeys(wrong))


def texts(out):
    "The text of a cell's output: streams, errors, and all data but pictures' bytes"
    parts = [out.get('text', ''), *out.get('traceback', [])]
    parts += [v for k, v in out.get('data', {}).items() if not k.startswith('image/') or k == 'image/svg+xml']
    for part in parts:
        text = part if isinstance(part, str) else ''.join(part) if isinstance(part, list) else json.dumps(part)
        yield re.sub(r'data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+', '', text)


def machine_paths():
    "Outputs that name a folder of the machine they were made on"
    for path in notebooks():
        for n, cell in enumerate(json.loads(path.read_text(encoding='utf-8'))['cells']):
            for text in (t for out in cell.get('outputs', []) for t in texts(out)):
                if m := path_re.search(text):
                    line = text[text.rfind('\n', 0, m.start()) + 1:].split('\n')[0].strip()
                    yield (f'{path.name}, cell {n} ({cell.get("id")}): an output holds a path of the machine: '
                           f'{line[:160]}')


def machine_results():
    "Results and cards that name a folder of the machine they were made on"
    for f in tracked('results', 'models'):
        if not f.endswith(('.json', '.csv', '.md')): continue
        for n, line in enumerate((root/f).read_text(encoding='utf-8').split('\n'), 1):
            if m := path_re.search(line):
                yield f'{f}, line {n}: holds a path of the machine: {line[max(0, m.start() - 60):m.end() + 60].strip()}'


def title_cells():
    ("Notebooks whose first cell says more than title, description and settings: "
     "nbdev drops the rest of that cell from the docs")
    for path in notebooks():
        cell = json.loads(path.read_text(encoding='utf-8'))['cells'][0]
        lines = ''.join(cell['source']).strip().split('\n')
        if cell['cell_type'] != 'markdown' or not re.match(r'# \S', lines[0]):
            yield f'{path.name}: the first cell is no markdown title'
        elif extra := [x for x in lines[1:] if x.strip() and not re.match(r'> |- [\w-]+:', x)]:
            yield f'{path.name}: the docs drop this line of the first cell, give it a cell of its own: {extra[0][:80]}'


def main():
    wrong = [*drift(), *machine_paths(), *machine_results(), *title_cells(), *wrong_imports(), *twice(),
             *missing_pictures(), *missing_alts(), *dead_links(), *lost_readers(), *mixed_imports(), *misspelt()]
    if not run(['python', 'tools/readme.py', '--check'], root):
        wrong.append('README.md is not what nbs/index.ipynb gives')
    for w in wrong: print(w)
    print(f"{len(wrong)} thing{'s' * (len(wrong) != 1)} to mend (`make prepare` mends the most of it)" if wrong else
          'the notebooks are clean, package and README are what they give, no output holds a path of the machine')
    sys.exit(1 if wrong else 0)


if __name__ == '__main__': main()
