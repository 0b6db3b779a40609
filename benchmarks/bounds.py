"""What the bounds of mmr_nb.bounds cost and prove: milliseconds a point and share of points, as JSON on stdout.

    python benchmarks/bounds.py --points 1000 --threads 2 --net mmr-cnn=models/some.safetensors > results/bounds.json

Networks: plain FC1 and CNN, trained here for a few epochs; those named with --net NAME=PATH; and the authors'
reference model where MMR_MODELS holds it. Images: MNIST where MMR_DATA holds it, else the packaged MNIST-5k.
"""
import argparse, json, os, platform, sys, time
from pathlib import Path
import torch, torch.nn as nn, torch.nn.functional as F
from mmr_nb.bounds import margin_bounds, intermediate_bounds, certified_radius
from mmr_nb.data import have, load_data
from mmr_nb.networks import cnn, fc1, load_weights
from mmr_nb.runs import write_file

inf = float('inf')
norms = {'inf': (inf, .1), '2': (2, .3), '1': (1, 1.)}
methods = ('interval', 'fastlin', 'crown', 'alpha')


def say(*args): print(*args, file=sys.stderr, flush=True)


def train(net, x, y, epochs, seed=0):
    "Plain training with Adam, batch 128"
    gen, opt = torch.Generator().manual_seed(seed), torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(epochs):
        for i in torch.randperm(len(x), generator=gen).split(128):
            opt.zero_grad(); F.cross_entropy(net(x[i]), y[i]).backward(); opt.step()
    return net.eval()


def timed(f, x, y, repeats, batch=100):
    ("Results of f(x, y), and its seconds: for each batch of points the least of `repeats` runs "
     "(other jobs may disturb one)")
    outs, total = [], 0.
    for a, b in zip(x.split(batch), y.split(batch)):
        best = inf
        for _ in range(repeats):
            start = time.perf_counter()
            out = f(a, b)
            best = min(best, time.perf_counter() - start)
        outs.append(out); total += best
    return torch.cat(outs), total


def measure(name, net, x, y, norm, eps, method, repeats):
    "One row: time and share for one network, norm, radius and method"
    p = norms[norm][0]
    margin_bounds(net, x[:4], y[:4], eps, p, method)  # warm up
    v, seconds = timed(lambda a, b: margin_bounds(net, a, b, eps, p, method), x, y, repeats)
    v[torch.arange(len(y)), y] = inf
    bounds = intermediate_bounds(net, x[:100], eps, p, method='interval' if method == 'interval' else
                                 'fastlin' if method == 'fastlin' else 'crown')
    row = dict(net=name, norm=norm, eps=eps, method=method, points=len(x), seconds=round(seconds, 3),
               ms_per_point=round(1e3*seconds/len(x), 4), unproved=1 - (v > 0).all(1).double().mean().item(),
               clean_error=(net(x).argmax(1) != y).double().mean().item(), repeats=repeats,
               unstable=[round(((lb < 0) & (ub > 0)).double().sum(1).mean().item(), 1) for lb, ub in bounds])
    say(row)
    return row


def mlp(width, depth):
    layers, n = [nn.Flatten()], 784
    for _ in range(depth): layers += [nn.Linear(n, width), nn.ReLU()]; n = width
    return nn.Sequential(*layers, nn.Linear(n, 10))


def growth(data, epochs, points, repeats):
    "Cost and share of CROWN with depth, width and radius (that is, unstable units)"
    x, y, rows = data.x_test[:points], data.y_test[:points], []
    train_x, train_y = data.x_train[:5000], data.y_train[:5000]
    for width, depth in ((50, 2), (100, 2), (200, 2), (400, 2), (100, 1), (100, 3), (100, 4), (100, 6)):
        torch.manual_seed(0)
        net = train(mlp(width, depth), train_x, train_y, epochs)
        rows.append(dict(measure(f'mlp {depth}x{width}', net, x, y, 'inf', .02, 'crown', repeats),
                         width=width, depth=depth))
    torch.manual_seed(0)
    net = train(mlp(200, 3), train_x, train_y, epochs)
    for eps in (.001, .003, .01, .03, .1):
        rows.append(dict(measure('mlp 3x200', net, x, y, 'inf', eps, 'crown', repeats), width=200, depth=3))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--net', action='append', default=[], metavar='NAME=PATH',
                        help='a trained network to measure; may be repeated')
    parser.add_argument('--points', type=int, default=1000,
                        help='test points for the reference model and named networks')
    parser.add_argument('--plain-points', type=int, default=100, help='test points for plain networks')
    parser.add_argument('--epochs', type=int, default=2, help='epochs of plain training')
    parser.add_argument('--repeats', type=int, default=3,
                        help='runs of each batch of 100 points; the least time counts (the slope search runs once)')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--no-growth', action='store_true', help='leave out growth with depth, width and radius')
    parser.add_argument('--only',
                        help='names of networks to measure, as "plain fc1,mmr_universal_mnist"; all if not given')
    parser.add_argument('--methods', default=','.join(methods), help='of bounds')
    parser.add_argument('--out', help='also write the JSON here; rows in it that are not measured anew stay')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load = os.getloadavg()[0]
    data = load_data('mnist' if have('mnist') else 'mnist5k')
    nets = []
    wanted = lambda name: not args.only or name in args.only.split(',')
    for make in (fc1, cnn):
        if not wanted(f'plain {make.__name__}'): continue
        net = train(make(), data.x_train[:10000], data.y_train[:10000], args.epochs)
        nets.append((f'plain {make.__name__}', net, args.plain_points, {'inf': .02, '2': .1, '1': .3}))
    for spec in args.net:
        name, _, path = spec.partition('=')
        if not path: parser.error(f'--net expects NAME=PATH, got {spec!r}')
        nets.append((name, load_weights(path), args.points, {}))
    reference = Path(os.environ.get('MMR_MODELS', 'models'))/'mmr_universal_mnist.mat'
    if reference.exists() and wanted('mmr_universal_mnist'):
        nets.append(('mmr_universal_mnist', load_weights(reference), args.points, {}))
    rows, radii = [], []
    for name, net, n, smaller in nets:
        x, y = data.x_test[:n], data.y_test[:n]
        for norm, (p, eps) in norms.items():
            for e in sorted({eps, smaller.get(norm, eps)}):
                rows += [measure(name, net, x, y, norm, e, m, 1 if m == 'alpha' else args.repeats)
                         for m in args.methods.split(',')]
            m = min(n, 100)
            r, seconds = timed(lambda a, b: certified_radius(net, a, b, p), x[:m], y[:m], 1)
            radii.append(dict(net=name, norm=norm, method='crown', points=m, mean_radius=r.mean().item(),
                              ms_per_point=round(1e3*seconds/m, 3), repeats=1))
            say(radii[-1])
    settings = dict(data=data.name, threads=args.threads, epochs=args.epochs, seed=0, torch=torch.__version__,
                    python=platform.python_version(), machine=platform.machine(), cpus=os.cpu_count(),
                    load_before=load, load_after=os.getloadavg()[0])
    old = (json.loads(Path(args.out).read_text()) if args.out and Path(args.out).exists() else
           dict(rows=[], radii=[], growth=[]))
    out = dict(settings=settings, rows=merged(old['rows'], rows, 'net norm eps method'),
               radii=merged(old['radii'], radii, 'net norm method'),
               growth=old['growth'] if args.no_growth else growth(data, args.epochs, args.plain_points, args.repeats))
    if args.out: write_file(args.out, json.dumps(out, indent=1) + '\n')
    print(json.dumps(out, indent=1))


def merged(old, new, key):
    "Old rows in their places, replaced where there is a new one; then the others"
    name = lambda r: tuple(r[k] for k in key.split())
    fresh = {name(r): r for r in new}
    return [fresh.pop(name(r), r) for r in old] + list(fresh.values())


if __name__ == '__main__': main()
