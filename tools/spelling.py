"""Common misspellings in the notebooks' text and code, in the documents, and in the tools: codespell, with our words.

codespell knows wrong spellings, not right ones: it has nothing against names, symbols and British English.
"""
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from common import fail, notebooks, root, tracked
from house import cells

words = ['te', 're-use', 're-used', 'pre-empted']  # right here: TE is the test error
# the package is in the notebooks
documents = ('*.md', 'tools/*', 'benchmarks/*.py', '.github', 'Makefile', 'settings.ini')


def texts():
    "(name, text) of all that is read"
    for path in notebooks(): yield path.name, '\n'.join(c['source'] for c in cells(path))
    for f in tracked(*documents): yield f, (root/f).read_text(encoding='utf-8')


def misspelt():
    "What codespell finds, with the line it stands in"
    if not importlib.util.find_spec('codespell_lib'):
        fail("codespell is missing: `make check` installs it, or pip install '.[dev]'")
    with tempfile.TemporaryDirectory() as tmp:
        files = {f'{i}.txt': (name, text) for i, (name, text) in enumerate(texts())}
        for f, (_, text) in files.items(): (Path(tmp)/f).write_text(text, encoding='utf-8')
        command = [sys.executable, '-m', 'codespell_lib', '--ignore-words-list', ','.join(words), *files]
        found = subprocess.run(command, cwd=tmp, capture_output=True, text=True)
    if found.returncode not in (0, 65): fail(f'codespell: {found.stderr.strip()}')  # 65: found something
    for f, n, what in re.findall(r'^(?:\./)?(\d+\.txt):(\d+): (.*)$', found.stdout, re.M):
        name, text = files[f]
        yield f'{name}: {what}: {text.splitlines()[int(n) - 1].strip()[:100]}'


if __name__ == '__main__':
    found = list(misspelt())
    print('\n'.join(found) or 'no misspelling that codespell knows')
    sys.exit(bool(found))
