"""Does the package work where only what it requires is installed? A wheel in a fresh environment,
away from the checkout.

Builds the sdist, and the wheel from it. Finds what the tests' environment hides: an import that only the extra `dev`
brings, a newer major version of a requirement, package data or networks that sdist or wheel lack. The three commands
run there on the data and networks that come along. `--keep DIR` leaves both files in DIR when all of it worked: `make
release`.
"""
import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import copy_tracked, fail, settings

lib = settings()['lib_path']
code = f'''
import importlib, pkgutil, {lib}
from {lib}.zoo import load_model
assert "site-packages" in {lib}.__file__, {lib}.__file__
for m in pkgutil.iter_modules({lib}.__path__): importlib.import_module("{lib}." + m.name)
load_model("mnist-cnn-linf-mmr+at")
'''
commands = [
    ['python', '-c', code],
    ['mmr_train', '--data', 'digits', '--network', 'fc1', '--scheme', 'mmr', '--epochs', '1', '--out', 'run'],
    ['mmr_certify', '--model', 'run/best.safetensors', '--data', 'digits', '--points', '0:20', '--eps', '0.01',
     '--timeout', '5', '--workers', '1', '--out', 'certified'],
    ['mmr_certify', '--model', 'mnist-cnn-linf-mmr+at', '--data', 'mnist5k', '--points', '0:5', '--workers', '1'],
    ['mmr_demo', '--quick'],
    ['python', '-m', f'{lib}.soundness', '--n', '4', '--workers', '1'],
]


def build(sources, out):
    "The sdist of `sources`, and the wheel made from it, in folder `out`; -> the wheel"
    done = subprocess.run([sys.executable, '-m', 'build', '--outdir', out, sources], stdin=subprocess.DEVNULL,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode: fail(f'sdist and wheel cannot be built:\n{done.stdout}')
    return next(out.glob('*.whl'))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--keep', help='folder for sdist and wheel')
    keep = args.parse_args().keep
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        binaries = tmp/'venv'/'bin'
        env = {k: v for k, v in os.environ.items() if not k.startswith(('MMR_', 'PYTHON', 'VIRTUAL_ENV'))}
        def run(command):
            out = subprocess.run([binaries/command[0], *command[1:]], cwd=tmp/'away', env=env, stdin=subprocess.DEVNULL,
                                 text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if out.returncode:
                fail(f'{" ".join(command)} ended with {out.returncode} in a fresh environment:\n{out.stdout}')
            return out.stdout
        (tmp/'away').mkdir()
        copy_tracked(tmp/'sources')  # so that the build leaves nothing in the checkout
        subprocess.run([sys.executable, '-m', 'venv', tmp/'venv'], check=True)
        pip = ['python', '-m', 'pip', '--disable-pip-version-check', '--no-input']
        run([*pip, 'install', '--quiet', *os.environ.get('PIP_ARGS', '').split(),
             str(build(tmp/'sources', tmp/'dist'))])
        installed = dict(line.split('==', 1) for line in run([*pip, 'list', '--format', 'freeze']).split())
        other = [f'{name} {v}' for name, v in installed.items() if v != version_here(name)]
        for command in commands: run(command)
        if keep:
            Path(keep).mkdir(exist_ok=True)
            for f in (tmp/'dist').iterdir(): print(f"{shutil.copy(f, keep)}: {f.stat().st_size/2**20:.1f} MB")
    print(f'{len(commands)} commands ran in a fresh environment of {len(installed)} packages; '
          f'other versions than here: {", ".join(other) or "none"}')


def version_here(name):
    "Version of a package in the environment of this tool, None if it is not installed"
    try: return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError: return None


if __name__ == '__main__': main()
