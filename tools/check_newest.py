"""Does the project work with the newest version of everything? A fresh environment without constraints.txt.

Prints which packages differ from the lock and which notebooks fail there. Says so without failing, but for `--strict`:
what broke elsewhere is no fault of a commit, and a reason to look before `make lock`.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from common import copy_tracked, root

# each kind of dependency, in some minutes
names = ['01_networks', '02_regions', '04_certificate', '05_mmr', '10_milp', '12_certify', '15_interchange']


def locked():
    "{package: its versions in constraints.txt}"
    pins = {}
    for line in (root/'constraints.txt').read_text().splitlines():
        if m := re.match(r'([\w.-]+)==([^\s;]+)', line):
            pins.setdefault(m[1].lower().replace('_', '-'), []).append(m[2])
    return pins


def main():
    strict = '--strict' in sys.argv
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        python = tmp/'venv'/'bin'/'python'
        copy_tracked(tmp/'project')
        env = {k: v for k, v in os.environ.items() if not k.startswith(('PYTHON', 'VIRTUAL_ENV'))}
        def run(*command):
            return subprocess.run(command, cwd=tmp/'project', env=env, stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        subprocess.run([sys.executable, '-m', 'venv', tmp/'venv'], check=True)
        pip = [python, '-m', 'pip', '--disable-pip-version-check', '--no-input']
        done = run(*pip, 'install', '--quiet', *os.environ.get('PIP_ARGS', '').split(), '-e', '.[dev]')
        if done.returncode:
            print(f'the newest versions cannot be installed together:\n{done.stdout}')
            sys.exit(1 if strict else 0)
        here = dict(line.split('==', 1)
                    for line in run(*pip, 'list', '--format', 'freeze', '--exclude-editable').stdout.split()
                    if '==' in line)
        pins = locked()
        other = {n: v for n, v in here.items()
                 if n.lower().replace('_', '-') in pins and v.split('+')[0] not in pins[n.lower().replace('_', '-')]}
        print('versions that the lock has not: ' + (', '.join(f'{n} {v}' for n, v in other.items()) or 'none'),
              flush=True)
        tests = run(python, 'tools/test_notebooks.py', *names)
        failed = [line for line in tests.stdout.splitlines() if line.startswith('failed: ')]
        if tests.returncode: print(tests.stdout)
        print('what broke: ' + (failed[0].removeprefix('failed: ') if failed else
                                'nothing' if not tests.returncode else 'the tests did not run'))
    sys.exit(1 if strict and tests.returncode else 0)


if __name__ == '__main__': main()
