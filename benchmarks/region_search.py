"""Nearest adversarial examples: how many a search proves, how far A.2's walk comes, and a race between ways
to get there.

    python benchmarks/region_search.py --net mnist-fc1-linf-mmr --p inf --points 10 --timeout 5
    python benchmarks/region_search.py --race

The first form writes results/region_search/NAME-lP.json, a row a point (the first test images): bounds by Theorem 3.1,
after five neighbouring regions (A.2), by linear bounds (Wong and Kolter's without the box, CROWN's with it), and by
`minimal_perturbation`. A run that is cut goes on where it was, with the same settings, network and code of the search;
--again, which may have newer code, asks the points that are not exact once more; --then 10,60 asks the first --most of
them again with longer limits, each what the last one left, and notes the limit in each row. Seconds of the limit are
the processor's.
The second form writes race.json: regions visited a second beside the naive walk (V recomputed for every region), and
seconds to the exact minimum beside bisection with `branch_and_bound` and beside `solve_distance`, in one process, on a
network of --hidden units in one layer, trained for 1500 steps on 14x14 images, so that every way can finish. Rates are
by the processor's seconds. The MIP is told how far to look: 1.01 times what the search found.
"""
import argparse, hashlib, json, shlex, sys, time
from math import inf
from pathlib import Path
from unittest import mock
import torch, torch.nn.functional as F
from mmr_nb import region_search
from mmr_nb.attacks import linear_region_attack
from mmr_nb.bounds import certified_radius
from mmr_nb.branch import branch_and_bound
from mmr_nb.certificate import region_certificate
from mmr_nb.certify import network_digest
from mmr_nb.data import load_data
from mmr_nb.distances import row_norms
from mmr_nb.milp import solve_distance
from mmr_nb.networks import fc1, lower
from mmr_nb.region_search import minimal_perturbation, walk_regions
from mmr_nb.regions import linear_region
from mmr_nb.runs import write_file
from mmr_nb.zoo import load_model


def write(file, report):
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(report, indent=1) + '\n')


def by_processor():
    "Within it limits count the processor's seconds: a busy machine proves as much as an idle one"
    return mock.patch('time.monotonic', time.process_time)


def finite(v): return None if v == inf else v


def point(net, x, y, p, timeout):
    "One image's row: bounds by three ways, seconds of each"
    clock, row = time.perf_counter(), dict(right=bool(net(x).argmax(1) == y))
    r = region_certificate(net, x, p)
    row.update(region_lb=finite(r.lb.item()), region_exact=bool(r.exact), region_seconds=time.perf_counter() - clock)
    # Wong and Kolter's bound, and the best of ours without a search
    kw = dict(kw=('fastlin', None), crown=('crown', (0, 1)))
    row.update({k: certified_radius(net, x, y, p, method, box).item()*row['right'] for k, (method, box) in kw.items()})
    clock = time.perf_counter()
    with by_processor(): steps = walk_regions(net, x, p, max_regions=6, timeout=timeout)
    row.update(walk_lb=finite(steps[-1].lb), walk_ub=finite(steps[-1].ub), walk_regions=steps[-1].regions,
               walk_seconds=time.perf_counter() - clock)
    clock, cpu = time.perf_counter(), time.process_time()
    with by_processor(): m = minimal_perturbation(net, x, p, timeout=timeout)
    row.update(lb=finite(m.lb.item()), ub=finite(m.ub.item()), exact=bool(m.exact), parts=m.regions.item(),
               seconds=time.perf_counter() - clock, cpu_seconds=time.process_time() - cpu)
    return row


def zoo(o):
    data, net, p = load_data(o.data), load_model(o.net), float(o.p)
    file, longer = Path(o.out)/f'{o.net}-l{o.p}.json', [float(t) for t in o.then.split(',') if t]
    settings = dict(net=o.net, p=o.p, data=o.data, timeout=o.timeout, threads=1, clock='processor',
                    network=network_digest(lower(net, data.input_shape, torch.float64)),
                    search=hashlib.sha256(Path(region_search.__file__).read_bytes()).hexdigest()[:12])
    if longer: settings.update(then=longer, most=o.most)
    report = json.loads(file.read_text()) if file.exists() else dict(settings=settings, rows=[])
    kept = {k: v for k, v in settings.items() if not (o.again and k == 'search')}
    if any(report['settings'].get(k) != v for k, v in kept.items()):
        sys.exit(f'region_search: {file} has other settings, network or code (remove it to start anew): '
                 f'{report["settings"]}, not {settings}')
    report['settings'] = settings
    rows, command = report['rows'], shlex.join(['python', 'benchmarks/region_search.py', *sys.argv[1:]])
    report['again' if o.again else 'command'] = command
    def ask(i, limit):
        row = point(net, data.x_test[i:i+1], data.y_test[i:i+1], p, limit)
        rows[i:i + 1] = [dict(row, limit=limit) if longer else row]
        write(file, report)
        print(o.net, o.p, i, {k: v for k, v in row.items() if k in ('region_lb', 'walk_lb', 'lb', 'ub', 'exact')},
              flush=True)
    open_ = lambda limit=None: [k for k, r in enumerate(rows) if not r['exact'] and limit in (None, r.get('limit'))]
    for i in open_() if o.again else range(len(rows), o.points): ask(i, o.timeout)
    for before, limit in zip([o.timeout, *longer], longer):
        asked = sum(r['limit'] >= limit for r in rows)  # by a run that was cut
        for i in open_(before)[:max(0, o.most - asked)]: ask(i, limit)


def small(hidden, data, seed=0):
    "A plain network of one hidden layer on 14x14 images, and test images"
    net, half = fc1((1, 14, 14), hidden=hidden), lambda x: F.avg_pool2d(x, 2)
    opt, x, y = torch.optim.Adam(net.parameters(), 1e-3), half(data.x_train), data.y_train
    gen = torch.Generator().manual_seed(seed)
    for _ in range(1500):
        i = torch.randint(len(x), (128,), generator=gen)
        loss = F.cross_entropy(net(x[i]), y[i])
        opt.zero_grad(); loss.backward(); opt.step()
    return net.eval(), half(data.x_test)


def naive_rate(net, x, p, seconds):
    "Regions a second when V is written down anew for each: neighbours of x across its nearest hyperplanes"
    start, n, z = time.process_time(), 0, x.double()
    gen = torch.Generator().manual_seed(0)
    while time.process_time() - start < seconds:
        region = linear_region(net.double(), (z + .02*torch.randn(z.shape, generator=gen, dtype=z.dtype)).clamp(0, 1))
        for V in region.V: row_norms(V, 2)
        n += 1
    net.float()
    return n/(time.process_time() - start)


def walk_rate(net, x, p, seconds):
    start = time.process_time()
    walk_regions(net, x, p, max_regions=1, rounds=5)
    begun = time.process_time()  # the attack and the ball's bounds, which the walk starts from, are not its own
    n = walk_regions(net, x, p, max_regions=10**6, timeout=seconds, rounds=5)[-1].regions
    return n/max(time.process_time() - begun - (begun - start), 1e-3)


def bisect(net, x, y, p, timeout, tol=1e-3):
    "The minimum by `branch_and_bound` at ever better radii: (lb, ub)"
    lo, hi = 0., linear_region_attack(net, x, y, p)[0].item()
    end = time.monotonic() + timeout
    while lo < hi*(1 - tol) and time.monotonic() < end:
        eps = (lo + hi)/2
        r = branch_and_bound(net, x, int(y), eps, p, timeout=max(end - time.monotonic(), .01))
        if r.status == 'certified': lo = eps
        elif r.status == 'falsified': hi = row_norms((r.witness - x).flatten(1), p).item()
        else: break
    return lo, hi


def race(o):
    data, rows, p = load_data(o.data), [], float(o.p)
    report = dict(command=shlex.join(['python', 'benchmarks/region_search.py', *sys.argv[1:]]),
                  p=o.p, hidden=o.hidden, rows=rows)
    net = fc1()
    x = data.x_test[:1]
    report['rates'] = dict(network='fc1, 1024 units, initial weights',
                           naive=naive_rate(net, x, p, 10), walk=walk_rate(net, x, p, 20))
    report['rates']['times'] = report['rates']['walk']/report['rates']['naive']
    print(report['rates'], flush=True)
    net, images = small(o.hidden, data)
    for i in range(o.points):
        x, row = images[i:i+1].double(), {}
        y = net(images[i:i+1]).argmax(1)
        def timed(name, f):
            cpu, clock = time.process_time(), time.perf_counter()
            lb, ub = f()
            row[name] = dict(lb=lb, ub=finite(ub), cpu=time.process_time() - cpu, wall=time.perf_counter() - clock)
        timed('search', lambda: (lambda m: (m.lb.item(), m.ub.item()))(
            minimal_perturbation(net, x, p, timeout=o.timeout)))
        timed('walk', lambda: (lambda s: (s.lb, s.ub))(
            walk_regions(net, x, p, max_regions=inf, project=True, timeout=o.timeout)[-1]))
        timed('bisection', lambda: bisect(net, x, y, p, o.timeout))
        far = row['search']['ub']
        if far is not None:
            timed('mip', lambda: (lambda r: (r.lb, r.ub))(
                solve_distance(net, x, int(y), 1.01*far, p, timeout=o.timeout)))
        rows.append(row)
        print(i, {k: [round(v['lb'], 4), round(v['ub'], 4) if v['ub'] else None, round(v['wall'], 2)]
                  for k, v in row.items()}, flush=True)
        write(Path(o.out)/'race.json', report)


def options():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--net', help='network of the zoo'); a.add_argument('--race', action='store_true')
    a.add_argument('--p', default='inf', choices=['1', '2', 'inf']); a.add_argument('--data', default='mnist')
    a.add_argument('--points', type=int, default=10)
    a.add_argument('--timeout', type=float, default=5., help='seconds a point and way')
    a.add_argument('--then', default='', help='longer limits for the points that are not exact')
    a.add_argument('--most', type=int, default=100)
    a.add_argument('--again', action='store_true', help='the points of a finished run that are not exact')
    a.add_argument('--hidden', type=int, default=24); a.add_argument('--out', default='results/region_search')
    o = a.parse_args()
    if bool(o.net) == o.race: a.error('expected --net NAME or --race')
    return o


if __name__ == '__main__':
    torch.set_num_threads(1)
    o = options()
    race(o) if o.race else zoo(o)
