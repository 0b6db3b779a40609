"""Table 1 of the paper for networks trained here: test error, attacks, certificates, distances; one JSON a network.

    python benchmarks/table1.py --net mnist-fc1-linf-mmr=RUN [--net ...] --out results/table1 [--publish]

RUN is a folder that `mmr_train` wrote, or a .safetensors file; a name alone is looked up in the zoo. Test error on the
full test set; the rest in the norm that the network was trained for (or --norm) on the first --points test points:
PGD-40 as in the paper, the cascade of `certify`, stronger attacks on what it leaves open, then branch and bound or the
region search, and the MIP, on the first --search points (all of them; 50 for plain and at, where few can be decided).
With more than 1000 points the errors on the first 1000, the paper's at l_inf, are reported besides. Verdicts are kept
in --records: a run that was cut goes on there, and an evaluation that --out holds already is not made again. --publish
puts the network into the zoo with these numbers.
"""
import argparse, json, os, platform, re, shlex, sys, time
from math import inf
from pathlib import Path
import pandas as pd, torch
from mmr_nb.attacks import check_witness, falsify, pgd
from mmr_nb.ball import read_ball, read_norm
from mmr_nb.bounds import intermediate_bounds, margin_bounds
from mmr_nb.certificate import region_certificate
from mmr_nb.certify import certify, network_digest, stage_table
from mmr_nb.data import DataUnavailable, load_data
from mmr_nb.networks import cnn, describe, fc1, fc10, load_weights, lower
from mmr_nb.runs import write_file
from mmr_nb.zoo import load_model, model_name, publish

CHEAP = ('clean', 'region', 'attack', 'bound')  # stages that all points go through
SEARCH = (*CHEAP, 'branch', 'search', 'mip')
# points searched, by scheme; others: all. Nor are there walks through regions beyond the cascade's: 2 s a point
FEW = {'plain': 50, 'at': 50}
ABOUT = ('epochs', 'epoch', 'batch_size', 'val', 'val_error', 'seed', 'schedule', 'ema', 'augment', 'spread', 'init',
         'seconds', 'device', 'command')


def say(*args): print(*args, file=sys.stderr, flush=True)


def batched(f, x, y, n=100): return [f(a, b) for a, b in zip(x.split(n), y.split(n))]


def mean(t): return round(t.double().mean().item(), 6)


# -- which network

def read_net(spec, kind, half=False):
    "(name, network with its card or None where it is not trained yet, run folder or None) of NAME or NAME=PATH"
    name, _, path = spec.partition('=')
    if not path: return name, load_model(name), None
    path = Path(path)
    file = path if path.suffix == '.safetensors' else path/f'{kind}.safetensors'
    if not file.exists(): say(f'{name}: not trained yet: no {file.name} in {file.parent.name}'); return name, None, None
    net = load_weights(file)
    return name, net.half().float() if half else net, None if file is path else path


def parts(name, card):
    "(data, network, norm that is reported, scheme) of a name, checked against the network's card"
    base = re.sub(r'-(clean|seed\d+)$', '', name)
    if base.count('-') < 3:
        raise ValueError(f'expected a name such as mnist-cnn-linf-mmr+at or mnist-cnn-linf-mmr+at-seed1, got {name!r}')
    data, network, norm, scheme = base.split('-', 3)
    s = card.get('scheme') or {}
    # plain training knows no norm
    p = float(s.get('p') or (s.get('scheme') or {}).get('p') or ('inf' if norm == 'lp' else read_norm(norm)))
    expected = model_name(card.get('data'), network, p, s.get('name'))
    if base != expected: raise ValueError(f'{name}: by its card this network is {expected}')
    made = dict(fc1=fc1, fc10=fc10, cnn=cnn).get(network)
    if made is None or json.loads(json.dumps(describe(
            made(tuple(card['input_shape']), card['layers'][-1][1]['out_features'])))) != card['layers']:
        raise ValueError(f'{name}: the architecture is not {network}')
    return data, network, p, scheme


def history(run):
    "The run's learning curves: column -> values, five digits"
    if run is None or not (run/'history.csv').exists(): return None
    short = lambda v: None if pd.isna(v) else int(v) if v == int(v) else float(f'{v:.5g}')
    return {c: [short(v) for v in col] for c, col in pd.read_csv(run/'history.csv').items()}


# -- what is measured

def by_pgd(net, x, y, eps, p):
    "Which points PGD-40 as in the paper breaks, misclassified ones included"
    def one(a, b):
        broken = read_ball(a, eps, p).pull_inside(pgd(net, a, b, eps, p))
        return check_witness(net, a, b, a, eps, p) | check_witness(net, a, b, broken, eps, p)
    return torch.cat(batched(one, x, y, 250))


def by_stronger(net, x, y, eps, p, rounds, args):
    "Which points fall to restarts with the margin loss, walks through linear regions, and APGD where it is installed"
    if not len(x): return torch.zeros(0, dtype=torch.bool)
    return falsify(net, x, y, eps, p, restarts=args.restarts, rounds=rounds,
                   generator=torch.Generator().manual_seed(1), library=args.library).found


def verdicts(net, x, y, eps, p, search, rounds, args):
    ("The cascade on all points, stronger attacks on open ones, searches on the first `search`: "
     "(table as `certify` gives it, its re-used points)")
    how = dict(timeout=args.timeout, workers=args.workers, out=args.records, solver=args.solver, progress=args.progress)
    run = lambda which, stages: certify(net, x[which], y[which], eps, p, stages=stages, **how)
    table = run(list(range(len(x))), CHEAP)
    reused, open_ = table.attrs['reused'], table.index[table.status == 'undecided'].tolist()
    start = time.perf_counter()
    found = by_stronger(net, x[open_], y[open_], eps, p, rounds, args).tolist()
    each = (time.perf_counter() - start)/max(len(open_), 1)
    hard = [k for k, f in zip(open_, found) if not f and k < search]
    if hard:
        deep = run(hard, SEARCH)
        reused += deep.attrs['reused']
        for k, row in zip(hard, deep.drop(columns='index').to_dict('records')):
            for column, v in row.items(): table.at[k, column] = v
    for k, f in zip(open_, found):
        table.at[k, 'spent'] = dict(table.spent[k], attack=table.spent[k].get('attack', 0.) + each)
        table.at[k, 'seconds'] += each
        if f: table.at[k, 'status'], table.at[k, 'stage'] = 'falsified', 'attack'
    return table, reused


def combined(table, pgd_broken):
    "The table with PGD-40's finds; no point may be both proved and broken"
    both = [k for k in table.index if pgd_broken[k] and table.status[k] == 'certified']
    if both: raise RuntimeError(f'points {both} are certified and broken: a bug, please report it')
    for k in table.index:
        if pgd_broken[k] and table.status[k] == 'undecided':
            table.at[k, 'status'], table.at[k, 'stage'] = 'falsified', 'attack'
    return table


def robust_errors(table, m, search, eps, p, rounds, args):
    "Bounds on the robust error of the first m points"
    t = table[:m]
    wide = '' if search >= m else f' on the first {search} points only'
    attacks = ('PGD-40, the attacks of the cascade (linear regions included), '
               f'{args.restarts} starts with the margin loss'
               + ', longer walks through linear regions'*(rounds > 0) + (f', {args.library}' if args.library else ''))
    protocol = (f'first {m} test points; lb: {attacks} and witnesses of the searches; ub: regions, CROWN, '
                f'then branch and bound or region search, and MIP ({args.solver}){wide}, {args.timeout:g} s a point')
    return dict(p=f'{p:g}', eps=eps, points=m, lb=float((t.status == 'falsified').mean()),
                ub=float((t.status != 'certified').mean()), undecided=int((t.status == 'undecided').sum()),
                seconds_a_point=dict(mean=round(t.seconds.mean(), 4), median=round(t.seconds.median(), 4),
                                     slowest=round(t.seconds.max(), 2)), protocol=protocol)


def by_stage(table):
    "A row a stage: points that entered and how they left, seconds on all that entered"
    return {stage: {k: round(v, 2) if k == 'seconds' else int(v) for k, v in row.items()}
            for stage, row in stage_table(table).to_dict('index').items()}


def distances(net, x, p):
    ("Theorem 3.1 without the box, on the full test set: mean and median of d_B, d_D and the smaller; "
     "share of points where it is exact (misclassified ones included)")
    c = region_certificate(net, x, p, None)
    summary = lambda d: dict(mean=float(f'{d[d.isfinite()].mean():.5g}'), median=float(f'{d.median():.5g}'),
                             infinite=int((~d.isfinite()).sum()))
    return dict(points=len(x), d_rb=summary(c.d_rb), d_db=summary(c.d_db), radius=summary(c.lb), exact=mean(c.exact))


def units(net, x, y, eps, p):
    ("Hidden units, how many of them are unstable on the ball (mean a point), by layer; "
     "share of points that CROWN alone leaves unproved")
    def one(a, b):
        layers = intermediate_bounds(net, a, eps, p)
        lb = margin_bounds(net, a, b, eps, p, bounds=layers).scatter(1, b[:, None], inf).amin(1)
        return torch.stack([((l < 0) & (u > 0)).sum(1) for l, u in layers], 1), ~(lb > 0)
    unstable, unproved = map(torch.cat, zip(*batched(one, x, y)))
    return dict(hidden=list(lower(net, tuple(x.shape[1:])).n_hidden),
                unstable=[round(u, 3) for u in unstable.double().mean(0).tolist()], unproved_by_crown=mean(unproved))


# -- one network

def asked(scheme, data, p, args):
    "What makes an evaluation what it is"
    points = min(args.points, len(data.x_test))
    search = args.search if args.search is not None else FEW.get(scheme, points)
    return dict(points=points, search=min(search, points), eps=args.eps or data.eps[p], p=f"{p:g}",
                timeout=args.timeout, solver=args.solver, restarts=args.restarts,
                rounds=args.rounds if args.rounds is not None else 0 if scheme in FEW else 20,
                library=args.library, seed=0)


def timed(seconds, what, f, *a):
    start = time.perf_counter()
    out = f(*a)
    seconds[what] = round(time.perf_counter() - start, 1)
    return out


def evaluate(net, data, s, p, args):
    "Everything that Table 1 and its notebook need of one network"
    x, y, eps, seconds, load = data.x_test[:s['points']], data.y_test[:s['points']], s['eps'], {}, os.getloadavg()[0]
    wrong = timed(seconds, 'test error', lambda: torch.cat(batched(lambda a, b: net(a).argmax(1) != b,
                                                                   data.x_test, data.y_test, 500)))
    broken = timed(seconds, 'PGD-40', by_pgd, net, x, y, eps, p)
    table, reused = timed(seconds, 'cascade', verdicts, net, x, y, eps, p, s['search'], s['rounds'], args)
    table = combined(table, broken.tolist())
    dist = timed(seconds, 'distances', distances, net, data.x_test, p)
    unit = timed(seconds, 'units', units, net, x, y, eps, p)
    sizes = sorted({s['points'], min(s['points'], 1000), s['search']} - {0}, reverse=True)
    return dict(test_error=mean(wrong), test_points=len(wrong), pgd=mean(broken),
                robust=[robust_errors(table, m, s['search'], eps, p, s['rounds'], args) for m in sizes],
                statuses=''.join(v[0] for v in table.status), stages=by_stage(table), distances=dist, units=unit,
                seconds=seconds, reused=reused,
                machine=dict(cores=os.cpu_count(), threads=args.threads, workers=args.workers,
                             load_before=round(load, 1), machine=platform.machine(),
                             torch=torch.__version__, python=platform.python_version()))


def again(name, s):
    "The command that makes these numbers again, from the zoo"
    flags = [f'--{k}={s[k]}' for k in ('points', 'search', 'eps', 'timeout', 'solver', 'restarts', 'rounds')]
    return shlex.join(['python', 'benchmarks/table1.py', '--net', name, f'--norm=l{s["p"]}', *flags])


def training(card, old, args):
    "How the network was trained: its card, and what the command line adds"
    given = {k: v for k, v in dict(command=args.command, device=args.device).items() if v}
    t = {**old, **{k: card[k] for k in ABOUT if card.get(k) is not None}, **given}
    if 'command' in t:  # anybody's folder
        t['command'] = re.sub(r'(--out)[ =]\S*/\S*', r'\1 RUN', t['command']).replace(' --resume', '')
    return t


def measured(name, net, run, args):
    "The network's JSON: the numbers in it are kept if they answer the same question, else made"
    data_name, network, own, scheme = parts(name, net.card)
    p = args.norm or own
    data, file = load_data(data_name), Path(args.out)/f'{name}{"" if p == own else f"-in-l{p:g}"}.json'
    s, digest = asked(scheme, data, p, args), network_digest(lower(net, data.input_shape, torch.float64))
    old = json.loads(file.read_text()) if file.exists() else {}
    if old.get('network_sha256') != digest: old = {}
    if {'p': 'inf', **old.get('settings', {})} == s and not args.again: r = old
    else: r = dict(name=name, data=data_name, network=network, scheme=scheme, scheme_settings=net.card['scheme'],
                   network_sha256=digest, settings=s, command=again(name, s),
                   **evaluate(net.requires_grad_(False), data, s, p, args))
    r.update(training=training(net.card, old.get('training', {}), args), history=history(run) or old.get('history'))
    write(file, r)
    return r


def write(file, r):
    "JSON with a line a field, whole or not at all"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, '{\n' + ',\n'.join(f' {json.dumps(k)}: {json.dumps(v)}' for k, v in r.items()) + '\n}\n')


def line(r):
    e = lambda v: f'{100*v:.2f}'
    bounds = '; '.join(f'first {b["points"]}: {e(b["lb"])} to {e(b["ub"])} '
                       f'({b["undecided"]} open, {b["seconds_a_point"]["mean"]:.3g} s a point)' for b in r['robust'])
    inside = (f'unstable units {sum(r["units"]["unstable"]):.1f}, d_B {r["distances"]["d_rb"]["mean"]:.3g}, '
              f'd_D {r["distances"]["d_db"]["mean"]:.3g}')
    return f'{r["name"]}: test error {e(r["test_error"])}%, PGD-40 {e(r["pgd"])}%, robust error {bounds}, {inside}'


def into_zoo(name, run, r, args):
    "The network with its numbers, in the zoo"
    how = {k: r['training'][k] for k in ('command', 'device')}
    file = publish(run, name, r['test_error'], r['robust'], folder=args.models, kind=args.kind, replace=True,
                   half=args.half, pgd=r['pgd'], evaluation=r['command'], **how)
    say(f'{name}: published as {file.name}')


def options():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--net', action='append', required=True, metavar='NAME[=PATH]',
                   help='a network: run folder, .safetensors file, or a name in the zoo; may be given again')
    a.add_argument('--kind', default='best', choices=('best', 'last'), help='which weights of a run folder')
    a.add_argument('--points', type=int, default=1000, help='first test points')
    a.add_argument('--search', type=int,
                   help='how many of them branch and bound and the MIP may be used on (all; 50 for plain and at)')
    a.add_argument('--norm', type=read_norm,
                   help="norm to evaluate in (the one it was trained for; linf for lp); "
                        "another one's numbers go to NAME-in-NORM.json")
    a.add_argument('--eps', type=float, help="radius (the paper's for the data set)")
    a.add_argument('--timeout', type=float, default=120., help='seconds a point, all stages of the cascade')
    a.add_argument('--solver', default='cbc', choices=('cbc', 'highs'))
    a.add_argument('--restarts', type=int, default=10,
                   help='of PGD with the margin loss, on points that the cascade leaves open')
    a.add_argument('--rounds', type=int,
                   help='of walks through linear regions on those points (20; 0 for plain and at)')
    a.add_argument('--workers', type=int, default=2, help='processes that search')
    a.add_argument('--threads', type=int, default=1, help='of torch, in this process')
    a.add_argument('--out', default='results/table1', help='one JSON a network')
    a.add_argument('--records', default='_out/table1', help='folder of verdicts, for resuming')
    a.add_argument('--again', action='store_true', help='evaluate even if --out holds the same evaluation')
    a.add_argument('--publish', action='store_true', help='put the networks into the zoo')
    a.add_argument('--half', action='store_true',
                   help='round the weights of run folders to float16 before anything is measured; '
                        '--publish then writes float16')
    a.add_argument('--models', default='models', help='where the zoo is')
    a.add_argument('--command', help='for the card: how one network was trained, in place of what its run says')
    a.add_argument('--device', help='for the card: on what it was trained')
    a.add_argument('--progress', action='store_true')
    return a.parse_args()


def check(nets, args):
    "What would fail at the end fails at the start"
    if len(nets) > 1 and (args.command or args.device):
        raise ValueError('--command and --device describe one network: expected one --net')
    for name, net, run in nets:
        own = parts(name, net.card)[2]
        if args.publish and args.norm and args.norm != own:
            raise ValueError(f'{name}: --publish expects the norm that it was trained for, {own:g}, '
                             f'got --norm {args.norm:g}')
        missing = [k for k in ('command', 'device') if not (net.card.get(k) or getattr(args, k))]
        if args.half and run is None: raise ValueError(f'{name}: --half expects a run folder, NAME=PATH')
        if args.publish and run is None: raise ValueError(f'{name}: --publish expects a run folder, NAME=PATH')
        if args.publish and missing:
            raise ValueError(f'{name}: its card lacks {" and ".join(missing)}: give --' + ' and --'.join(missing))


def library():
    try: import torchattacks
    except ImportError: return None
    return 'apgd'


def main():
    args = options()
    torch.set_num_threads(args.threads)
    args.library = library()
    try:
        nets = [n for n in (read_net(spec, args.kind, args.half) for spec in args.net) if n[1] is not None]
        check(nets, args)
        for name, net, run in nets:
            r = measured(name, net, run, args)
            print(line(r), flush=True)
            if args.publish: into_zoo(name, run, r, args)
    except (ValueError, DataUnavailable) as e: sys.exit(f'table1: {e}')
    except KeyboardInterrupt:
        sys.exit(f'table1: interrupted; the verdicts so far are kept in {Path(args.records).name}')


if __name__ == '__main__': main()
