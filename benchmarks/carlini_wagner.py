"""Carlini and Wagner's attack on a network of the zoo (Figure 4 of the paper compares it with the exact minimum).

    pip install foolbox
    python benchmarks/carlini_wagner.py --net mnist-fc1-l2-mmr --points 100

Writes results/region_search/NAME-cw.json: the l_2 norm of what the attack finds on each of the first test images, with
the paper's settings (20 binary-search steps, 10,000 iterations, lr 0.01, initial constant 1e-3) but for the early
abort, which stops a binary-search step whose loss stands still (--no-abort: the paper's). Norms are of adversarial
examples checked in float64; seconds are the processor's.
"""
import argparse, json, shlex, sys, time
from pathlib import Path
import torch
from foolbox import PyTorchModel, __version__
from foolbox.attacks import L2CarliniWagnerAttack
from mmr_nb.data import load_data
from mmr_nb.networks import lower
from mmr_nb.runs import write_file
from mmr_nb.zoo import load_model


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--net', required=True); a.add_argument('--data', default='mnist')
    a.add_argument('--points', type=int, default=100)
    a.add_argument('--no-abort', action='store_true'); a.add_argument('--out', default='results/region_search')
    o = a.parse_args()
    torch.set_num_threads(1)
    data, net = load_data(o.data), load_model(o.net).requires_grad_(False)
    x, y = data.x_test[:o.points], data.y_test[:o.points]
    settings = dict(binary_search_steps=20, steps=10_000, stepsize=.01, initial_const=1e-3, abort_early=not o.no_abort)
    start = time.process_time()
    _, found, _ = L2CarliniWagnerAttack(**settings)(PyTorchModel(net, bounds=(0, 1), device='cpu'), x, y, epsilons=None)
    seconds = time.process_time() - start
    found = found.double().clamp(0, 1)
    fooled = lower(net, data.input_shape, torch.float64)(found)[1].argmax(1) != y
    norm = (found - x.double()).flatten(1).norm(dim=1)
    report = dict(settings=dict(net=o.net, p='2', data=o.data, points=o.points, foolbox=__version__, **settings),
                  seconds=round(seconds, 1),
                  command=shlex.join(['python', 'benchmarks/carlini_wagner.py', *sys.argv[1:]]),
                  norm=[n if ok else None for n, ok in zip(norm.tolist(), fooled.tolist())])
    write_file(Path(o.out, f'{o.net}-cw.json'), json.dumps(report, indent=1) + '\n')
    print(f'{int(fooled.sum())} of {len(x)} found, mean norm {norm[fooled].mean():.4f}, {seconds:.0f} s')


if __name__ == '__main__': main()
