"""Hard questions: plain deep networks, what float32's rounding costs, and how many units to try before a split.
JSON on stdout.

    python benchmarks/hard.py --train 4 --out RUN          (the zoo's mnist-fc4x256-linf-plain, and 6 likewise)
    python benchmarks/hard.py --points 20 --timeout 10 > RESULT.json
    MMR_INTERCHANGE=DIR python benchmarks/hard.py --choice --points 40 --timeout 20 > results/choice.json
    MMR_INTERCHANGE=DIR python benchmarks/hard.py --mechanisms --points 12 --timeout 10 > results/mechanisms.json

Choice asks what it brings to try more units before one is split: on the questions of VNN-COMP's mnist_fc (two layers of
256 units) and on test points of the zoo, each where attack and bound leave it open. Mechanisms asks such questions, on
deeper networks too, with all that branching knows, with nothing of it, with one thing alone and
with one thing left out.

Seconds are processor seconds, the search's clock too, so that a busy machine decides as much as an idle one.
Test points are reported; eps was chosen on training images that `train` holds back.
"""
import argparse, json, os, platform, sys, time
from math import inf
from pathlib import Path
from unittest import mock
import torch, torch.nn as nn
from mmr_nb.branch import branch_and_bound
from mmr_nb.certify import certify
from mmr_nb.data import mnist
from mmr_nb.interchange import PropertyNetwork, load_onnx, read_vnnlib
from mmr_nb.networks import init_weights
from mmr_nb.training import Plain, error_rate, train
from mmr_nb.zoo import load_model

asked = {'mnist-fc4x256-linf-plain': .02, 'mnist-fc6x256-linf-plain': .015}
ways = {'float32': dict(dtype=torch.float32), 'as it is': dict()}


def deep(depth, width=256):
    "Fully connected, `depth` hidden layers of `width` units"
    layers, n = [nn.Flatten()], 784
    for _ in range(depth): layers, n = [*layers, nn.Linear(n, width), nn.ReLU()], width
    return init_weights(nn.Sequential(*layers, nn.Linear(n, 10)))


def trained(depth, out):
    "Ten plain epochs on MNIST, a tenth of the training images held back"
    data, net = mnist(), deep(depth)
    about = dict(command=f'python benchmarks/hard.py --train {depth} --out RUN')
    train(net, data, Plain(lr=1e-3), epochs=10, val=.1, out=out, about=about)
    return dict(depth=depth, test_error=error_rate(net, data.x_test, data.y_test))


tried = {c: dict(candidates=c) for c in (1, 4, 32, 128)}  # units tried before one is split
bare, full = dict(tighten=0, envelope=0, candidates=1), dict(tighten=10, envelope=8, candidates=32)
mechanism = {'better hidden bounds': 'tighten', 'envelopes or parabolas': 'envelope', 'trial splits': 'candidates'}
mechanisms = {'nothing': bare, **{f'{k} alone': {**bare, v: full[v]} for k, v in mechanism.items()},
              **{f'all but {k}': {**full, v: bare[v]} for k, v in mechanism.items()}, 'all': full}
hard_asked = [('mnist-fc4x256-linf-plain', inf, .016), ('mnist-fc6x256-linf-plain', inf, .012),
              ('mnist-fc4x256-linf-plain', 2, .28), ('mnist-cnn-linf-at', inf, .085)]  # radii of benchmarks/decided.py
zoo_asked = {'mnist-fc1-linf-mmr': .15, 'mnist-fc1-linf-mmr+at': .15, 'mnist-cnn-linf-at': .07}


def vnncomp_questions():
    "(name, network, input, label, radius, norm, box) of the mnist_fc properties"
    folder = Path(os.environ['MMR_INTERCHANGE'])/'mnist_fc'
    net = load_onnx(folder/'mnist-net_256x2.onnx')
    for file in sorted(folder.glob('*.vnnlib')):
        prop = read_vnnlib(file)
        question = PropertyNetwork(net, prop.cases[0], prop, net.input_shape)
        lo, hi = question.box
        yield file.stem, question, ((lo + hi)/2)[None], 0, ((hi - lo)/2).max().item()*1.01, inf, question.box


def zoo_questions(name, eps, points, p=inf):
    "The same of a network's test points"
    data, net = mnist(), load_model(name)
    x, y = data.x_test[:points], data.y_test[:points]
    for k in range(points):
        if net(x[k:k+1]).argmax(1) == y[k]: yield k, net, x[k:k+1], int(y[k]), eps, p, (0., 1.)


def choice(questions, timeout, ways):
    "What is decided in which way, of the questions that attack and bound leave open"
    rows = []
    for name, net, x, y, eps, p, box in questions:
        before = certify(net, x, torch.tensor([y]), eps, p, box=box, workers=1, progress=False,
                         stages=('attack', 'bound'))
        if before.status[0] != 'undecided': continue
        rows.append({'question': name,
                     **{c: searched(net, x, y, eps, timeout, p, box=box, **how) for c, how in ways.items()}})
        print({k: v if k == 'question' else (v['status'], v['seconds']) for k, v in rows[-1].items()},
              file=sys.stderr, flush=True)
    return rows


def searched(net, x, y, eps, timeout, p=inf, **how):
    "One point: status, bound reached, sub-domains, processor seconds"
    with mock.patch('time.monotonic', time.process_time):
        start = time.process_time()
        r = branch_and_bound(net, x, int(y), eps, p, timeout=timeout, **how)
    return dict(status=r.status, reason=r.reason, lb=max(r.lb, -1e9), unstable=r.unstable, domains=r.domains,
                seconds=round(time.process_time() - start, 2))


def measured(name, eps, first, points, timeout):
    "The points that regions, attack and bound leave open, by every way of searching"
    data, net = mnist(), load_model(name)
    x, y = data.x_test[first:first + points], data.y_test[first:first + points]
    before = certify(net, x, y, eps, inf, workers=1, progress=False, stages=('clean', 'region', 'attack', 'bound'))
    todo, row = before.index[before.status == 'undecided'], dict(net=name, eps=eps, points=points)
    row.update(before_certified=int((before.status == 'certified').sum()),
               before_falsified=int((before.status == 'falsified').sum()))
    row['search'] = {way: [] for way in ways}
    for k in todo:
        for way, how in ways.items():
            row['search'][way].append(dict(point=first + int(k), **searched(net, x[k:k+1], y[k], eps, timeout, **how)))
            print(name, way, row['search'][way][-1], file=sys.stderr, flush=True)
    return row


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--train', type=int, help='hidden layers of a network to train')
    a.add_argument('--out', help='its folder')
    a.add_argument('--only', help='one network of them')
    a.add_argument('--first', type=int, default=0); a.add_argument('--points', type=int, default=20)
    a.add_argument('--timeout', type=float, default=10., help='processor seconds a point')
    a.add_argument('--choice', action='store_true', help='how many units to try')
    a.add_argument('--mechanisms', action='store_true', help='what each mechanism of branching adds')
    o = a.parse_args()
    if o.train: return print(trained(o.train, o.out))
    if (o.choice or o.mechanisms) and (o.first or o.only):
        a.error('--first and --only go with neither --choice nor --mechanisms')
    settings = dict(points=o.points, first=o.first, timeout=o.timeout, data='mnist', threads=torch.get_num_threads(),
                    torch=torch.__version__, python=platform.python_version(), seconds='of the processor')
    if o.choice or o.mechanisms:
        ways = mechanisms if o.mechanisms else tried
        questions = {f'{n}, eps {e}': (n, e) for n, e in zoo_asked.items()}
        if o.mechanisms: questions = {f'{n}, l_{p:g}, eps {e}': (n, e, p) for n, p, e in hard_asked}
        rows = ({'mnist_fc 256x2': choice(vnncomp_questions(), o.timeout, ways)}
                if 'MMR_INTERCHANGE' in os.environ else {})
        for what, (n, e, *p) in questions.items():
            rows[what] = choice(zoo_questions(n, e, o.points, *p), o.timeout, ways)
        return print(json.dumps(dict(settings=settings, rows=rows), indent=1))
    print(json.dumps(dict(settings=settings, rows=[measured(n, e, o.first, o.points, o.timeout)
                                                   for n, e in asked.items() if o.only in (None, n)]), indent=1))


if __name__ == '__main__': main()
