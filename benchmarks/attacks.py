"""How many points the attacks of mmr_nb.attacks break, one after another, and how small perturbations get,
as JSON on stdout.

    python benchmarks/attacks.py --points 1000 > results/attacks.json

Networks: those named with --net NAME=PATH; without any, the authors' MMR-Universal network for MNIST where MMR_MODELS
holds it. Each attack gets the points that are still open after those before it; every witness is checked in float64.
Library attacks run where their packages are installed (torchattacks for l_2 and l_inf, adv-lib for l_1).
Seconds are CPU seconds of this process.
"""
import argparse, importlib.metadata, json, os, platform, sys, time
from pathlib import Path
import torch
from mmr_nb.attacks import check_witness, falsify, library_attack, linear_region_attack, pgd
from mmr_nb.ball import read_ball
from mmr_nb.data import have, load_data
from mmr_nb.networks import load_weights

inf = float('inf')
norms = {'inf': (inf, .1), '2': (2, .3), '1': (1, 1.)}
widest = {inf: 1., 2: 10., 1: 50.}  # radius in which a minimal-norm attack may look


def say(*args): print(*args, file=sys.stderr, flush=True)


def timed(f):
    "(result, CPU seconds)"
    start = time.process_time()
    return f(), round(time.process_time() - start, 2)


def checked(net, x, y, candidates, eps, p):
    return check_witness(net, x, y, read_ball(x, eps, p).pull_inside(candidates), eps, p)


def attacks(net, eps, p, restarts):
    "Name -> function from the open points to the mask of those it breaks"
    pgd_ = lambda x, y, **kw: checked(net, x, y, pgd(net, x, y, eps, p, **kw), eps, p)
    return {'clean': lambda x, y: net(x).argmax(1) != y,
            'PGD as in the paper': pgd_,
            f'PGD, margin loss, {restarts} starts': lambda x, y: pgd_(x, y, loss='margin', restarts=restarts, stop=True,
                                                                      generator=torch.Generator().manual_seed(1)),
            'falsify (one start, then linear regions)': lambda x, y: falsify(net, x, y, eps, p).found,
            'library: APGD': lambda x, y: checked(net, x, y, library_attack(net, x, y, eps, p, 'apgd'), eps, p)}


def strength(name, net, x, y, norm, restarts):
    "The attacks in turn on what is left, and `falsify` by itself"
    (p, eps), rows = norms[norm], []
    todo = torch.arange(len(x))
    for attack, run in attacks(net, eps, p, restarts).items():
        try: hit, seconds = timed(lambda: run(x[todo], y[todo]))
        except ImportError as e: say(e); continue
        tried, todo = len(todo), todo[~hit]
        rows.append(dict(net=name, norm=norm, eps=eps, attack=attack, points=len(x), tried=tried, broken=int(hit.sum()),
                         broken_so_far=len(x) - len(todo), seconds=seconds))
        say(rows[-1])
    whole, seconds = timed(lambda: falsify(net, x, y, eps, p))
    rows.append(dict(net=name, norm=norm, eps=eps, attack='falsify alone', points=len(x), tried=len(x),
                     broken=int(whole.found.sum()), seconds=seconds,
                     stages={s: whole.stage.count(s) for s in ('clean', 'pgd', 'regions')}))
    say(rows[-1])
    return rows


def smallest(name, net, x, y, norm):
    "Mean norm of the smallest perturbations found"
    p, rows = norms[norm][0], []
    def by_fab():
        w = library_attack(net, x, y, widest[p], p, 'fab').clamp(0, 1)
        n = torch.linalg.vector_norm((w - x).flatten(1), p, dim=1)
        return torch.where(check_witness(net, x, y, w, widest[p], p), n, inf)
    runs = {'linear regions': lambda: linear_region_attack(net, x, y, p)[0], 'library: FAB': by_fab}
    found = {}
    for attack, run in runs.items():
        try: found[attack], seconds = timed(run)
        except ImportError as e: say(e); continue
        rows.append(dict(net=name, norm=norm, attack=attack, points=len(x), found=int(found[attack].isfinite().sum()),
                         seconds=seconds))
    both = torch.stack(list(found.values())).isfinite().all(0)
    best = torch.stack(list(found.values())).amin(0)
    for row in rows:
        n = found[row['attack']][both]
        row |= dict(mean_norm=round(n.mean().item(), 5), smallest_of_all=int((n <= best[both]*(1 + 1e-6)).sum()),
                    compared=int(both.sum()))
        say(row)
    return rows


def version(package):
    try: return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError: return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--net', action='append', default=[], metavar='NAME=PATH',
                        help='a trained network to attack; may be repeated')
    parser.add_argument('--points', type=int, default=1000, help='test points to break')
    parser.add_argument('--norm-points', type=int, default=50,
                        help='correctly classified test points for the smallest perturbations')
    parser.add_argument('--restarts', type=int, default=10, help='random starts of PGD with the margin loss')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = load_data('mnist' if have('mnist') else 'mnist5k')
    specs = ([spec.partition('=')[::2] for spec in args.net]
             or [('mmr_universal_mnist', Path(os.environ.get('MMR_MODELS', 'models'))/'mmr_universal_mnist.mat')])
    rows, small = [], []
    for name, path in specs:
        if not path or not Path(path).exists():
            parser.error(f'no network {name!r}: expected --net NAME=PATH, or the reference network in MMR_MODELS')
        net = load_weights(path).eval().requires_grad_(False)
        x, y = data.x_test[:args.points], data.y_test[:args.points]
        right = (net(x).argmax(1) == y).nonzero()[:args.norm_points, 0]
        for norm in norms:
            rows += strength(name, net, x, y, norm, args.restarts)
            small += smallest(name, net, x[right], y[right], norm)
    out = dict(settings=dict(data=data.name, points=args.points, norm_points=args.norm_points, restarts=args.restarts,
                             pgd_steps=40, library_steps=100, seed=0, threads=args.threads,
                             torch=torch.__version__, torchattacks=version('torchattacks'), adv_lib=version('adv-lib'),
                             python=platform.python_version(), machine=platform.machine(), cpus=os.cpu_count()),
               rows=rows, smallest=small)
    print(json.dumps(out, indent=1))


if __name__ == '__main__': main()
