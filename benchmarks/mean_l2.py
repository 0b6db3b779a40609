"""Mean l_2 distances of the nearest adversarial example on the paper's thousand images (Tables 2, 5, 6): bounds that
need no search.

    python benchmarks/mean_l2.py --net mnist-fc1-l2-mmr --net fmnist-cnn-l2-mmr [--net ...]

Adds a line for each network to results/mean_l2/bounds.json: means over the first --points test images, misclassified
ones counted with 0, of Theorem 3.1's radius, Wong and Kolter's bound without the box (the paper's LB), CROWN's in the
box, and the norm of the smallest adversarial perturbation that walks through linear regions find, checked in float64.
A network that the file holds is not measured again unless --again says so. Seconds are the processor's.
"""
import argparse
import json
import shlex
import time
from pathlib import Path

import torch
from mmr_nb.attacks import linear_region_attack
from mmr_nb.bounds import certified_radius
from mmr_nb.certificate import region_certificate
from mmr_nb.data import load_data
from mmr_nb.runs import write_file
from mmr_nb.zoo import load_model

ways = dict(region=lambda net, x, y: region_certificate(net, x, 2).lb,
            kw=lambda net, x, y: certified_radius(net, x, y, 2, 'fastlin', None),
            crown=lambda net, x, y: certified_radius(net, x, y, 2, 'crown'),
            found=lambda net, x, y: linear_region_attack(net, x, y, 2)[0])


def measured(name, points, batch=50):
    "Means, standard errors and seconds of all ways, on one network"
    data, net = load_data(name.split('-')[0]), load_model(name)
    x, y = data.x_test[:points], data.y_test[:points]
    right = torch.cat([net(b).argmax(1) for b in x.split(batch)]) == y
    line = dict(points=len(x), misclassified=int((~right).sum()))
    for way, bound in ways.items():
        start = time.process_time()
        d = torch.cat([bound(net, *b) for b in zip(x.split(batch), y.split(batch))])*right
        line[way] = dict(mean=round(d.mean().item(), 5), error=round((d.std()/len(d)**.5).item(), 5),
                         seconds=round(time.process_time() - start, 1))
    return line


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--net', action='append', required=True, help='network of the zoo; may be given again')
    a.add_argument('--points', type=int, default=1000)
    a.add_argument('--again', action='store_true'); a.add_argument('--out', default='results/mean_l2/bounds.json')
    o = a.parse_args()
    torch.set_num_threads(1)
    file = Path(o.out)
    found = json.loads(file.read_text()) if file.exists() else {}
    for name in o.net:
        if name in found and not o.again: continue
        command = shlex.join(['python', 'benchmarks/mean_l2.py', '--net', name, '--points', str(o.points)])
        found[name] = dict(command=command, **measured(name, o.points))
        write_file(file, json.dumps(dict(sorted(found.items())), indent=1) + '\n')
        print(name, found[name], flush=True)


if __name__ == '__main__':
    with torch.no_grad(): main()
