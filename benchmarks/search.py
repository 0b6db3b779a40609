"""Hyperparameters tried on the validation split of MNIST: one training run, looked at after its epochs; one JSON a run.

    python benchmarks/search.py --name at-then-mmr --network cnn --scheme mmr+at --init mnist-cnn-linf-at \\
        --set every=8 --epochs 6

A tenth of the training images is held back (the same tenth for every run of a seed, as in `mmr_train`). After every
--look epochs: error on all of it; on its first --points images PGD-40, the share that CROWN alone leaves unproved and
the mean number of unstable units, by layer. No test image is read. A run that is cut keeps what it had.
"""
import argparse, json, shlex, sys, time
from math import inf
from pathlib import Path
import torch
from mmr_nb.attacks import pgd
from mmr_nb.cli import make_network, parse_settings
from mmr_nb.data import load_data
from mmr_nb.networks import save_weights
from mmr_nb.runs import write_file
from mmr_nb.training import error_rate, paper_scheme, spread_biases, train, validation_split
from table1 import units


def look(net, x, y, points, eps):
    "Validation error; PGD-40, CROWN and unstable units on the first points"
    near, labels = x[:points], y[:points]
    inside, percent = units(net, near, labels, eps), lambda v: round(100*v, 2)
    return dict(val_error=percent(error_rate(net, x, y)),
                pgd=percent(error_rate(net, pgd(net, near, labels, eps, inf), labels)),
                unproved_by_crown=percent(inside['unproved_by_crown']),
                unstable=[round(v, 1) for v in inside['unstable']])


def options():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--name', required=True, help='of the run')
    a.add_argument('--network', default='cnn'); a.add_argument('--scheme', default='mmr+at')
    a.add_argument('--epochs', type=int, default=6)
    a.add_argument('--init', help='network to start from: name in the zoo or file')
    a.add_argument('--set', default='', help='hyperparameters, as for mmr_train')
    a.add_argument('--schedule', default='cosine'); a.add_argument('--ema', type=float, default=0.)
    a.add_argument('--augment', type=int, default=0); a.add_argument('--spread', type=float, default=0.)
    a.add_argument('--batch', type=int, default=128); a.add_argument('--seed', type=int, default=0)
    a.add_argument('--look', type=int, default=1, help='measure every so many epochs')
    a.add_argument('--points', type=int, default=1000)
    a.add_argument('--eps', type=float, default=.1); a.add_argument('--threads', type=int, default=1)
    a.add_argument('--out', default='results/search', help='one JSON a run')
    a.add_argument('--weights', help='folder for the weights')
    return a.parse_args()


def main():
    o = options()
    file = Path(o.out)/f'{o.name}.json'
    if file.exists(): sys.exit(f'search: {file.name} is there already: choose another --name')
    if o.init and o.spread:
        sys.exit('search: expected --init or --spread, got both: spread biases would replace those of the network')
    torch.set_num_threads(o.threads)
    data = load_data('mnist')
    x, y = validation_split(data, .1, o.seed)[1]
    scheme = paper_scheme(o.scheme, 'mnist', o.network, inf, **parse_settings(o.set))
    net = make_network(o.network, data, o.seed, o.init)
    if o.spread: spread_biases(net, o.spread, inf)
    start = time.perf_counter()
    command = shlex.join(['python', 'benchmarks/search.py', *sys.argv[1:]])
    run = dict(name=o.name, command=command, scheme=str(scheme), epochs=o.epochs, points=o.points, eps=o.eps,
               threads=o.threads, rows=[])
    def note(epoch, **more):
        run['rows'].append(dict(epoch=epoch, **more, **look(net, x, y, o.points, o.eps),
                                minutes=round((time.perf_counter() - start)/60, 1)))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(run, indent=1) + '\n')
        print(json.dumps(run['rows'][-1]), flush=True)
    if o.init: note(0)
    short = lambda row: {k: float(f'{row[k]:.4g}') for k in ('ce', 'mmr', 'robust_ce') if k in row}
    train(net, data, scheme, o.epochs, o.batch, val=.1, seed=o.seed, schedule=o.schedule, ema=o.ema, augment=o.augment,
          mirror=False, progress=False,
          callback=lambda row: note(row['epoch'], **short(row))
                   if row['epoch'] % o.look == 0 or row['epoch'] == o.epochs else None)
    if o.weights: save_weights(net, Path(o.weights)/f'{o.name}.safetensors', data.input_shape)


if __name__ == '__main__': main()
