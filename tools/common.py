"""What the tools share: the project's settings, its notebooks, and links that hold outside nbs/."""
import os
import re
import shutil
import subprocess
import sys
import traceback
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
nbs = root/'nbs'


def settings():
    "settings.ini as a dict, with `user` and `repo` filled in everywhere"
    config = ConfigParser(delimiters=['='])
    config.read(root/'settings.ini', encoding='utf-8')
    return dict(config['DEFAULT'])


def notebooks():
    "The project's notebooks, in order, index last"
    return sorted(p for p in nbs.glob('*.ipynb') if not p.name.startswith(('_', '.')))


def tracked(*patterns):
    "Files git tracks or would track, as paths from the root"
    out = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', *patterns],
                         cwd=root, check=True, capture_output=True, text=True).stdout
    return [f for f in dict.fromkeys(out.split('\0')) if f and (root/f).exists()]


def copy_tracked(folder):
    "What git tracks, copied into a folder; the files as paths from the root"
    files = [f for f in tracked() if (root/f).is_file()]
    for f in files:
        (folder/f).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root/f, folder/f)
    return files


def install_cell(cfg):
    ("A notebook's second cell, for Colab and the like: the repository, since pages read its results, "
     "and the package from it")
    held = re.findall(r'(?:nbdev|execnb|fastcore|ghapi)[<=]\S+', cfg['dev_requirements'])  # versions that go together
    pins = ' '.join(f'"{r}"' for r in held)
    return f"""#| hide
# where the package isn't installed, as on Colab
try: import {cfg['lib_name']}
except ImportError:
    !git clone -q --depth 1 {cfg['git_url']}
    %cd {cfg['repo']}/nbs
    %pip install -q "..[onnx,h5,cluster]" {pins}"""


link_re = re.compile(r'(!?\[[^\]]*\]\(|\b(?:src|href)=")([^)\s"]+)(\)|"|\s)')


def map_links(text, f):
    "`text` with the target of each markdown or HTML link replaced by `f(target)`"
    return link_re.sub(lambda m: m[1] + f(m[2]) + m[3], text)


def fill(target, cfg):
    "A link target such as `{git_url}/issues` with the address of settings.ini filled in"
    m = re.match(r'(?:\{|%7B)(git_url|doc_url|colab_url)(?:\}|%7D)', target)
    return cfg[m[1]] + target[m.end():] if m else target


def repo_path(target):
    "The path from the root of a file that a notebook links to by a relative path, None for any other link"
    path = target.split('#')[0].split('?')[0]
    if not path or re.match(r'[a-z][a-z0-9+.-]*:|/', path, re.I): return None
    path = os.path.normpath(os.path.join('nbs', path))
    return path if not path.startswith('..') and (root/path).exists() else None


def process(path):
    "The notebook at `path` as nbdev prepares it for the docs: hidden cells dropped, API tables and links put in"
    from execnb.nbio import read_nb
    from nbdev.processors import FilterDefaults
    os.environ['IN_TEST'] = '1'  # so that a notebook's last cell does not export
    try:
        nb = read_nb(path)
        FilterDefaults()(nb)
    except Exception as e:
        traceback.print_exc()
        fail(f'{path.name} cannot be made into a page: {e}')
    finally: del os.environ['IN_TEST']
    return nb


def fail(msg):
    "End with a message"
    sys.exit(f'error: {msg}')
