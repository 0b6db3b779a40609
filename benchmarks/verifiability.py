"""How long does verification take as lambda grows (Figure 3)? Robust error and seconds a point, by the MIP alone
and by the cascade.

    python benchmarks/verifiability.py --net mnist-cnn-linf-plain --points 50 --net mnist-cnn-linf-mmr-lmbd1=RUN ...

A network is a name in the zoo, or NAME=RUN with a folder of `mmr_train`; with --publish such a run goes into the zoo.
Two evaluations of each, at --eps in l_inf, on the first test points: `cascade` is `certify` as it comes (--points
points, --timeout seconds a point), `mip` is its last stage by itself, CBC on all rivals with CROWN's bounds (--mip
points, --mip-timeout seconds). Seconds are a clock's: run nothing else beside it. Verdicts are kept in --records, so
that a run that was cut goes on; results/verifiability.json gets an entry a network.
"""
import argparse
import json
import os
import shlex
import sys
from math import inf
from pathlib import Path

import torch
from mmr_nb.certify import certify, stages
from mmr_nb.data import mnist
from mmr_nb.runs import write_file
from mmr_nb.training import error_rate
from mmr_nb.zoo import publish
from table1 import read_net, units


def asked(net, data, way, points, timeout, wanted, o):
    ("Statuses and seconds of the first test points; each way has records of its own, "
     "since verdicts are re-used by whoever finds them")
    table = certify(net, data.x_test[:points], data.y_test[:points], o.eps, inf, timeout=timeout, workers=1,
                    out=Path(o.records)/way, stages=wanted, progress=o.progress)
    return dict(points=points, timeout=timeout, statuses=''.join(s[0] for s in table.status),
                seconds=[round(s, 3) for s in table.seconds],
                load=round(os.getloadavg()[0], 1))


def evaluate(net, data, o):
    "What Figure 3 shows of one network"
    unstable = units(net, data.x_test[:100], data.y_test[:100], o.eps, inf)['unstable']
    return dict(lmbd=net.card['scheme'].get('lmbd', 0.), gamma=net.card['scheme'].get('gamma_rb'),
                test_error=error_rate(net, data.x_test, data.y_test), eps=o.eps, unstable=round(sum(unstable), 1),
                cascade=asked(net, data, 'cascade', o.points, o.timeout, stages, o),
                mip=asked(net, data, 'mip', o.mip, o.mip_timeout, ('mip',), o))


def bounds(statuses, eps, n):
    "An entry of robust errors for the card"
    return dict(p='inf', eps=eps, points=n, lb=statuses.count('f')/n, ub=(n - statuses.count('c'))/n,
                protocol=f'first {n} test points, certify')


def options():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--net', action='append', required=True, metavar='NAME[=RUN]')
    a.add_argument('--points', type=int, default=100, help='of the cascade')
    a.add_argument('--timeout', type=float, default=30.)
    a.add_argument('--mip', type=int, default=20, help='points of the MIP alone')
    a.add_argument('--mip-timeout', type=float, default=120.)
    a.add_argument('--eps', type=float, default=.1); a.add_argument('--progress', action='store_true')
    a.add_argument('--publish', action='store_true'); a.add_argument('--models', default='models')
    a.add_argument('--command', help='for the card: how the run was made')
    a.add_argument('--device', default='cpu, 1 thread', help='for the card')
    a.add_argument('--out', default='results/verifiability.json')
    a.add_argument('--records', default='_out/verifiability')
    o = a.parse_args()
    if o.publish and (len(o.net) != 1 or '=' not in o.net[0] or not o.command):
        a.error('--publish expects one --net NAME=RUN and --command')
    return o


def main():
    o, data = options(), mnist()
    torch.set_num_threads(1)
    out = Path(o.out)
    for spec in o.net:
        name, net, run = read_net(spec, 'best')
        if net is None: continue  # not trained yet, which read_net has said
        r = evaluate(net.requires_grad_(False).eval(), data, o)
        r['command'] = shlex.join(['python', 'benchmarks/verifiability.py', '--net', name,
                                   *(f'--{k}={getattr(o, k.replace("-", "_")):g}'
                                     for k in ('points', 'timeout', 'mip', 'mip-timeout', 'eps'))])
        report = json.loads(out.read_text()) if out.exists() else {}
        report[name] = r
        out.parent.mkdir(parents=True, exist_ok=True)
        write_file(out, json.dumps(report) + '\n')
        print(name, {k: r[k] for k in ('lmbd', 'test_error', 'unstable')},
              r['cascade']['statuses'], round(sum(r['cascade']['seconds']), 1),
              r['mip']['statuses'], round(sum(r['mip']['seconds']), 1), flush=True)
        if o.publish:
            publish(run, name, r['test_error'], [bounds(r['cascade']['statuses'], o.eps, o.points)], folder=o.models,
                    replace=True, command=o.command, device=o.device, evaluation=r['command'])


if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit('verifiability: interrupted; the verdicts so far are kept')
