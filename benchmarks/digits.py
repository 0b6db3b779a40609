"""The nearest adversarial images of some digits, for networks of the zoo and three norms. JSON on stdout.

    python benchmarks/digits.py --digits 1 2 3 5 8 --timeout 5 > results/digits.json

For the first test image of each class that all these networks get right. Seconds are processor seconds, so that a busy
machine decides as much as an idle one. `lb` is the most that Theorem 3.1, CROWN or the search over regions proves, `ub`
the norm of the nearest image found, which is kept in steps of a 127th of its largest change.
"""
import argparse, base64, json, sys, time
from math import inf
from unittest import mock
import numpy as np, torch
from mmr_nb.attacks import linear_region_attack
from mmr_nb.bounds import certified_radius
from mmr_nb.certificate import region_certificate
from mmr_nb.data import mnist
from mmr_nb.region_search import minimal_perturbation
from mmr_nb.zoo import load_model

networks = {'plain': 'mnist-cnn-linf-plain', 'at': 'mnist-cnn-linf-at',
            'mmr+at': 'mnist-cnn-linf-mmr+at', 'mmr-universal': 'mnist-cnn-lp-mmr-universal'}
rounds = 8   # of the attack
tol = 1e-6    # relative gap under which a minimum counts as proved

coded = lambda a: base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()


def first_of_each_class(nets, data, digits):
    "Numbers of the test images"
    x, y = data.x_test[:500], data.y_test[:500]
    right = torch.stack([net(x).argmax(1) == y for net in nets.values()]).all(0)
    return [int((right & (y == k)).nonzero()[0]) for k in digits]


def searched(net, x, y, p, timeout):
    ("What each method proves, what was found: (lb by method, ub, witnesses, exact by Theorem 3.1); "
     "the search for p = inf alone")
    c, bound = region_certificate(net, x, p), certified_radius(net, x, y, p)
    lb = dict(region=c.lb, bound=bound)
    if p == inf:
        with mock.patch('time.monotonic', time.process_time):
            m = minimal_perturbation(net, x, p, timeout=timeout, rounds=rounds)
        lb, ub, w = dict(lb, search=m.lb), m.ub, m.witness
    else: ub, w = linear_region_attack(net, x, y, p, rounds=rounds)
    return lb, torch.where(c.exact, c.lb, ub), torch.where(c.exact[:, None, None, None], c.witness, w), c.exact


def nearest(net, x, y, timeout):
    ("For each norm: what is proved and by which method, what was found. "
     "An example found in another norm counts where it is nearer")
    found = {p: searched(net, x, y, p, timeout) for p in (1., 2., inf)}
    for p, (lb, ub, w, exact) in found.items():
        for _, _, other, _ in found.values():
            d = torch.linalg.vector_norm((other - x.double()).flatten(1), p, dim=1).nan_to_num(inf)
            w = torch.where((d < ub*(1 - 1e-9))[:, None, None, None], other, w)
            ub = torch.minimum(ub, d)
        yield p, lb, ub, w, exact


def row(net, x, lb, ub, witness, exact):
    "One image, one norm"
    stage = max(lb, key=lambda k: lb[k].item())  # the method that proves the most
    best = min(lb[stage].item(), ub)
    delta = (witness - x.double())[0].flatten().numpy()
    largest = float(abs(delta).max())
    to = net.double()(witness).topk(2).indices[0].tolist()
    net.float()
    return dict(lb=best, ub=ub, stage='region' if exact else stage, exact=bool(exact or ub - best <= tol*ub),
                region=lb['region'].item(), to=next(k for k in to if k != int(net(x).argmax())), largest=largest,
                delta=coded(np.round(delta/largest*127).astype(np.int8)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--timeout', type=float, default=2.,
                        help='processor seconds of the search, an image, norm and network')
    parser.add_argument('--digits', type=int, nargs='+', default=list(range(10)))
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, nets = mnist(), {scheme: load_model(name) for scheme, name in networks.items()}
    numbers, rows = first_of_each_class(nets, data, args.digits), []
    x, y = data.x_test[numbers], data.y_test[numbers]
    for scheme, net in nets.items():
        start = time.process_time()
        print(scheme, file=sys.stderr, flush=True)
        for p, lb, ub, w, exact in nearest(net, x, y, args.timeout):
            for i, k in enumerate(args.digits):
                one = {name: v[i] for name, v in lb.items()}
                rows.append(dict(scheme=scheme, p=f'{p:g}', digit=k,
                                 **row(net, x[i:i+1], one, ub[i].item(), w[i:i+1], exact[i].item())))
                print({key: v for key, v in rows[-1].items() if key != 'delta'}, file=sys.stderr, flush=True)
        print(f'{scheme}: {time.process_time() - start:.0f} s', file=sys.stderr, flush=True)
    images = [coded((data.x_test[i]*255).round().to(torch.uint8).numpy()) for i in numbers]
    print(json.dumps(dict(command='python ' + ' '.join(sys.argv), networks=networks, digits=args.digits,
                          test_images=numbers, timeout=args.timeout, images=images, rows=rows),
                     separators=(',', ':')).replace('{"scheme"', '\n{"scheme"'))


if __name__ == '__main__': main()
