"""Do two versions of the package say the same of the zoo's networks? Verdicts of one version, or a comparison of two.

    python benchmarks/verdicts.py --points 200 --out old.json          (with the one version installed, then the other)
    python benchmarks/verdicts.py --compare old.json new.json

--net asks only the networks named; may be given again.

A decided point that is decided otherwise is a fault of one of the two: the comparison then exits with 1.
"""
import argparse, json, sys, time
from math import inf
from pathlib import Path


def verdicts(names, points, few, timeout, workers):
    ("{network: a letter a point} at l_inf 0.1, the first test images; "
     "`few` of networks that were not trained to be certified")
    from mmr_nb.certify import certify
    from mmr_nb.data import mnist
    from mmr_nb.zoo import list_models, load_model
    data, out = mnist(), {}
    for name in names or list_models().index:
        n = few if name.endswith(('plain', '-at')) else points
        start = time.perf_counter()
        t = certify(load_model(name), data.x_test[:n], data.y_test[:n], .1, inf, timeout=timeout, workers=workers,
                    progress=False)
        out[name] = dict(said=''.join(s[0] for s in t.status), seconds=round(time.perf_counter() - start, 1))
        print(name, out[name], file=sys.stderr, flush=True)
    return out


def compare(old, new):
    "Decided points that flip, and undecided ones, by network"
    rows = {}
    for name in [n for n in old if n in new]:
        a, b = old[name]['said'], new[name]['said']
        rows[name] = dict(points=len(a), flips=sum({x, y} == {'c', 'f'} for x, y in zip(a, b, strict=True)),
                          undecided=[a.count('u'), b.count('u')],
                          seconds=[old[name]['seconds'], new[name]['seconds']])
    return rows


def main():
    from mmr_nb.runs import write_file
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--points', type=int, default=200)
    a.add_argument('--few', type=int, default=50, help='points of networks named plain and at')
    a.add_argument('--net', action='append', help='a network of the zoo (all)')
    a.add_argument('--timeout', type=float, default=5.); a.add_argument('--workers', type=int, default=1)
    a.add_argument('--out', help='JSON to write'); a.add_argument('--compare', nargs=2, metavar=('OLD', 'NEW'))
    o = a.parse_args()
    if o.compare:
        rows = compare(*(json.loads(Path(f).read_text()) for f in o.compare))
        print(json.dumps(rows, indent=1))
        sys.exit(any(r['flips'] for r in rows.values()))
    text = json.dumps(verdicts(o.net, o.points, o.few, o.timeout, o.workers), indent=1)
    if o.out: write_file(o.out, text + '\n')
    print(text)


if __name__ == '__main__': main()
