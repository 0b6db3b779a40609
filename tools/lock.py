"""Renew constraints.txt, the tested version of every package that the project or one of its extras brings in.

One file for all supported Pythons, resolved by uv with all extras at once. It leaves open which build of torch an index
gives (CPU, one of several CUDAs): a build's own packages (nvidia-*, cuda-*, triton) are not in it.
`python tools/lock.py NAME==VERSION ...` holds packages back at a version; with `--keep`, what is pinned already stays.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from common import fail, root, settings

of_a_build = re.compile(r'(nvidia|cuda|triton|pytorch-triton)\b')
head = [
    '# The versions that were tested together; made by `make lock`, used by every other target. No requirement of the',
    "# package: those are in settings.ini. Which build of torch is installed depends on the user's index."]


def requirements(cfg):
    "All that settings.ini asks for, extras included"
    return [r for name in cfg if name.endswith('requirements') for r in cfg[name].split()]


def main():
    cfg = settings()
    with tempfile.TemporaryDirectory() as tmp:
        wanted, held, out = (Path(tmp)/f'{n}.txt' for n in ('wanted', 'held', 'out'))
        wanted.write_text('\n'.join(requirements(cfg)))
        keep = '--keep' in sys.argv
        held.write_text('\n'.join(a for a in sys.argv[1:] if a != '--keep'))
        if keep: out.write_text((root/'constraints.txt').read_text())
        uv = [sys.executable, '-m', 'uv', 'pip', 'compile', '--universal', *([] if keep else ['--upgrade']),
              '--no-header', '--no-annotate', '--no-python-downloads']
        uv += ['--python-version', cfg['min_python'], '--constraints', held, wanted, '--output-file', out]
        if subprocess.run(uv, stdout=subprocess.DEVNULL).returncode: fail('uv found no versions that fit together')
        pins = [line for line in out.read_text().splitlines() if line and not of_a_build.match(line)]
    (root/'constraints.txt').write_text('\n'.join([*head, *pins, '']))
    print(f'constraints.txt: {len(pins)} pins')


if __name__ == '__main__': main()
