"""Which points does `certify` decide, at which stage, in how many seconds of the processor? A JSON line a point.

    python benchmarks/decided.py mnist-fc4x256-linf-plain .016 --points 12 --timeout 60
    PYTHONPATH=OTHER python benchmarks/decided.py ...   (the code of another checkout, as old as `certify` itself)
    python benchmarks/decided.py ... --into results/hard.json   (the points as one more run in that file)

So it takes nothing from the package but `certify` and the data; a network is read from its card and weights into plain
layers. Points that are misclassified are left out. The clock is the processor's, so that a busy machine decides as much
as an idle one. No MIP.
"""
import argparse
import json
import os
import subprocess
import time
from datetime import date
from math import inf
from pathlib import Path
from unittest import mock

import mmr_nb
import pandas as pd
import torch
from mmr_nb.certify import certify
from mmr_nb.data import mnist
from safetensors.torch import load_file

stages = 'clean', 'region', 'attack', 'bound', 'branch'
models = Path(__file__).resolve().parent.parent/'models'


def plain_network(name):
    "A network of the zoo as an nn.Sequential"
    card, weights = json.loads((models/f'{name}.json').read_text()), load_file(models/f'{name}.safetensors')
    options = lambda kw: {k: tuple(v) if isinstance(v, list) else v for k, v in kw.items()}
    net = torch.nn.Sequential(*(getattr(torch.nn, kind)(**options(kw)) for kind, kw in card['layers']))
    net.load_state_dict({k: next(v for n, v in weights.items() if n == k or n.endswith(f'.{k}'))
                         for k in net.state_dict()})
    return net.eval()


def decided(net, x, y, eps, p, timeout):
    "Status, stage, open units and seconds of one point"
    clock = time.process_time
    with mock.patch('time.monotonic', clock), mock.patch('time.perf_counter', clock):
        start = clock()
        r = certify(net, x, y, eps, p, timeout=timeout, workers=1, progress=False, stages=stages).iloc[0]
        seconds = round(clock() - start, 2)
    unstable = None if pd.isna(r.unstable) else int(r.unstable)
    return dict(status=r.status, stage=r.stage, unstable=unstable, seconds=seconds)


def revision():
    "The commit of the package that was asked"
    at = Path(mmr_nb.__file__).parent
    return subprocess.run(['git', '-C', at, 'rev-parse', '--short', 'HEAD'],
                          capture_output=True, text=True).stdout.strip()


def join(file, o, points):
    "One more run in a file of runs"
    report = json.loads(file.read_text())
    about = dict(code=revision(), date=date.today().isoformat(), net=o.net, p=f'{o.p:g}', eps=o.eps, timeout=o.timeout)
    report['runs'].append(dict(about, points=points))
    tmp = file.with_suffix('.tmp')
    tmp.write_text(json.dumps(report, indent=1) + '\n')
    os.replace(tmp, file)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('net'); a.add_argument('eps', type=float)
    a.add_argument('--p', type=float, default=inf, help='norm: 1, 2 or inf')
    a.add_argument('--first', type=int, default=0, help='test point to begin with')
    a.add_argument('--points', type=int, default=12, help='how many that are classified correctly')
    a.add_argument('--timeout', type=float, default=60., help='processor seconds a point')
    a.add_argument('--into', type=Path, help='file of runs that these points join')
    o = a.parse_args()
    torch.set_num_threads(1)
    net, data, k, rows = plain_network(o.net), mnist(), o.first, []
    while len(rows) < o.points:
        x, y = data.x_test[k:k + 1], data.y_test[k:k + 1]
        if net(x).argmax(1) == y:
            rows.append(dict(point=k, **decided(net, x, y, o.eps, o.p, o.timeout)))
            print(json.dumps(rows[-1]), flush=True)
        k += 1
    if o.into: join(o.into, o, rows)


if __name__ == '__main__': main()
