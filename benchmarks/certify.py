"""The cascade by stage: points, verdicts and seconds; and branch and bound, region search and the MIP
on the same points.

    python benchmarks/certify.py --net mmr-universal=FILE.mat [--norms inf,2,1] [--points 1000]
        [--out results/certify.json]

Prints JSON. A norm's radius is the paper's for the data set (l_1: 1.0) unless --eps gives others. MNIST must be at hand
(MMR_DATA).
"""
import argparse, json, math, os, platform, sys, time

RADII = {'inf': .1, '2': .3, '1': 1.}


def by_stage(results):
    "Points certified, falsified, undecided, and seconds (summed over points), for each stage"
    from mmr_nb.certify import stage_table
    return {stage: {k: round(v, 2) if k == 'seconds' else int(v) for k, v in row.items()}
            for stage, row in stage_table(results).to_dict('index').items()}


def cascade(net, x, y, eps, p, args):
    "One run of `certify`: verdicts by stage, errors, seconds of the clock"
    from mmr_nb.certify import certify
    start = time.perf_counter()
    r = certify(net, x, y, eps, p, timeout=args.timeout, workers=args.workers, progress=args.progress)
    seconds = time.perf_counter() - start
    return r, dict(eps=eps, points=len(r), seconds=round(seconds, 1),
                   robust_error_lb=round(r.attrs['robust_error_lb'], 4),
                   robust_error_ub=round(r.attrs['robust_error_ub'], 4),
                   undecided=r['index'][r.status == 'undecided'].tolist(), slowest_s=round(r.seconds.max(), 2),
                   stages=by_stage(r))


def side_by_side(net, x, y, eps, p, which, args):
    ("Branch and bound, region search and the MIP, each alone, on points that neither bound nor PGD decides: "
     "verdicts and seconds")
    from mmr_nb.certify import certify
    out = dict(points=which)
    for name, kw in dict(branch=dict(stages=('branch',)), search=dict(stages=('search',)), cbc=dict(stages=('mip',)),
                         highs=dict(stages=('mip',), solver='highs')).items():
        r = certify(net, x[which], y[which], eps, p, timeout=args.compare_timeout, workers=args.workers,
                    progress=args.progress, **kw)
        out[name] = dict(r.status.value_counts().to_dict(), seconds_a_point=[round(s, 2) for s in r.seconds],
                         median_s=round(r.seconds.median(), 2), statuses=r.status.tolist())
    return out


def main():
    from mmr_nb.runs import write_file
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--net', action='append', required=True,
                   help='NAME=PATH of a network, or NAME of one in the zoo; may be given again')
    a.add_argument('--norms', default='inf,2,1')
    a.add_argument('--eps', help='radii, as inf=0.1,2=0.3; others stay')
    a.add_argument('--points', type=int, default=1000, help='first test points')
    a.add_argument('--timeout', type=float, default=60., help='seconds a point')
    a.add_argument('--compare', type=int, default=0,
                   help='points on which branch and bound and the MIP are compared, for each norm')
    a.add_argument('--compare-timeout', type=float, default=30.)
    a.add_argument('--workers', type=int, default=2)
    a.add_argument('--progress', action='store_true')
    a.add_argument('--out', help='also write the JSON here; entries of other networks and norms in it stay')
    args = a.parse_args()
    import torch
    from mmr_nb.data import mnist
    from mmr_nb.networks import load_weights
    torch.set_num_threads(args.workers)
    radii = {**RADII, **{k: float(v) for k, v in (e.split('=') for e in (args.eps or '').split(',') if e)}}
    data, rows = mnist(), []
    if args.out and os.path.exists(args.out): rows = json.load(open(args.out))['rows']
    x, y = data.x_test[:args.points], data.y_test[:args.points]
    for name, path in (n.split('=', 1) if '=' in n else (n, None) for n in args.net):
        if path is None:
            from mmr_nb.zoo import load_model
            net = load_model(name)
        else: net = load_weights(path)
        for norm in args.norms.split(','):
            p, eps = float(norm), radii[norm]
            r, row = cascade(net, x, y, eps, p, args)
            row = dict(net=name, norm=norm, **row, timeout=args.timeout, workers=args.workers,
                       machine=f'{os.cpu_count()} cores', torch=torch.__version__, python=platform.python_version())
            hard = r['index'][r.stage.isin(('branch', 'search', 'mip'))].tolist()[:args.compare]
            if hard: row['compare'] = dict(side_by_side(net, x, y, eps, p, hard, args), timeout=args.compare_timeout)
            print(json.dumps({k: v for k, v in row.items() if k != 'compare'}), file=sys.stderr, flush=True)
            rows = [q for q in rows if (q['net'], q['norm'], q['eps']) != (name, norm, eps)] + [row]
            if args.out: write_file(args.out, json.dumps(dict(rows=rows), indent=1) + '\n')
    print(json.dumps(dict(rows=rows), indent=1))


if __name__ == '__main__': main()
