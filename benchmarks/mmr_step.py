"""Time and memory of one step of the MMR loss (value and gradients), beside a dense reference and a plain step.

    python benchmarks/mmr_step.py [--networks fc1,fc10,cnn,cnn32,resnet,lenet] [--steps 5] [--out results/mmr_step.json]

Prints JSON. Each network and kind of weights runs in a process of its own, so that peak memory is its own.
"""
import argparse, json, math, os, platform, subprocess, sys, threading, time
from statistics import median

SHARES = (.10, .08, .06, .04, .02)
GAMMA = {1: 2., 2: .3, math.inf: .1}


def setting(name):
    "Network, images and labels: real digits; for 32x32x3 resized and tinted"
    import torch, torch.nn.functional as F
    from mmr_nb.data import mnist5k
    from mmr_nb.networks import cnn, fc1, fc10
    data = mnist5k()
    gen = torch.Generator().manual_seed(0)
    order = torch.randperm(len(data.x_train), generator=gen)
    x, y = data.x_train[order], data.y_train[order]
    if name == 'cnn32':
        x = F.interpolate(x, size=(32, 32), mode='bilinear') * (.5 + .5*torch.rand(len(x), 3, 1, 1, generator=gen))
    make = {'fc1': fc1, 'fc10': fc10, 'cnn': cnn, 'cnn32': cnn, 'resnet': resnet, 'lenet': lenet}[name]
    return make(tuple(x.shape[1:])), x, y


def resnet(input_shape):
    "A stem and two basic blocks of 16 channels on the full image, eval mode"
    import torch.nn as nn, torch.nn.functional as F
    from mmr_nb.networks import init_weights
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            conv = lambda: nn.Conv2d(16, 16, 3, padding=1, bias=False)
            self.conv1, self.norm1, self.conv2, self.norm2 = conv(), nn.BatchNorm2d(16), conv(), nn.BatchNorm2d(16)
        def forward(self, x): return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))
    stem = nn.Conv2d(input_shape[0], 16, 3, padding=1)
    return init_weights(nn.Sequential(stem, nn.ReLU(), Block(), Block(), nn.AvgPool2d(4), nn.Flatten(),
                                      nn.Linear(16*49, 10))).eval()


def lenet(input_shape):
    "Two convolutions with max-pooling, 100 units"
    import torch.nn as nn
    from mmr_nb.networks import init_weights
    return init_weights(nn.Sequential(
        nn.Conv2d(input_shape[0], 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16*49, 100), nn.ReLU(), nn.Linear(100, 10)))


def train_a_little(model, x, y, steps):
    "Some MMR steps in l_inf, enough to move boundaries away (not a good network)"
    import torch
    from torch.nn.functional import cross_entropy
    from mmr_nb.mmr import mmr_loss
    from mmr_nb.networks import lower
    opt, n = torch.optim.Adam(model.parameters(), 1e-3), sum(lower(model, x.shape[1:]).n_hidden)
    for i in range(steps):
        xb, yb = (t[128*i % 3840:128*i % 3840 + 128] for t in (x, y))
        loss = cross_entropy(model(xb), yb) + mmr_loss(model, xb, yb, math.inf, .1, .1, int(.05*n))
        opt.zero_grad(); loss.backward(); opt.step()


def unrolled_loss(model, x, y, p, gamma_rb, gamma_db, n_rb):
    "kMMR with V of every layer pushed through the lowered network: the dense reference for any graph"
    import torch
    from mmr_nb.distances import decision_boundary_distances, region_boundary_distances
    from mmr_nb.networks import lower
    from mmr_nb.regions import push_forward
    net = lower(model, x.shape[1:])
    zs, logits = net(x)
    *Vs, V = [V.expand(len(x), -1, -1) for V in push_forward(net, [z > 0 for z in zs])]
    units = torch.cat([r.is_unit(torch.ones(w, dtype=torch.bool)) for r, w in zip(net.relus, net.widths)])
    nearest = region_boundary_distances(zs, Vs, p)[:, units].topk(n_rb, largest=False).values
    rivals = decision_boundary_distances(logits, V, p, y)
    return ((1 - nearest/gamma_rb).clamp(min=0).sum()/n_rb
            + (1 - rivals/gamma_db).clamp(min=0).sum()/logits.shape[1])/len(x)


def dense_loss(model, x, y, p, gamma_rb, gamma_db, n_rb):
    "kMMR with V of every layer from all input directions pushed through, channels last, gradients by autograd"
    import torch, torch.nn as nn
    from mmr_nb.distances import decision_boundary_distances, region_boundary_distances
    if not all(isinstance(m, (nn.Conv2d, nn.Linear, nn.ReLU, nn.Flatten)) for m in model):
        return unrolled_loss(model, x, y, p, gamma_rb, gamma_db, n_rb)
    b, d = len(x), x[0].numel()
    v = torch.eye(d).view(1, d, *x.shape[1:]).expand(b, -1, *x.shape[1:]).reshape(b*d, *x.shape[1:])
    if v.dim() == 4: v = v.contiguous(memory_format=torch.channels_last)
    z, zs, Vs = x, [], []
    rows = lambda v: v.reshape(b, d, -1).transpose(1, 2)
    for m in model:
        if isinstance(m, nn.ReLU):
            zs.append(z.flatten(1)); Vs.append(rows(v))
            v = v*(z > 0).repeat_interleave(d, 0)
        elif isinstance(m, nn.Flatten): v = v.flatten(1)
        else: v = m(v) - m(torch.zeros_like(v[:1]))
        z = m(z)
    nearest = region_boundary_distances(zs, Vs, p).topk(n_rb, largest=False).values
    rivals = decision_boundary_distances(z, rows(v), p, y)
    return ((1 - nearest/gamma_rb).clamp(min=0).sum()/n_rb + (1 - rivals/gamma_db).clamp(min=0).sum()/z.shape[1])/b


def plain_port(model, x, y, p, gamma_rb, gamma_db, n_rb):
    "kMMR of one hidden layer: V of all logits as batched products, gradients by autograd"
    from mmr_nb.distances import decision_boundary_distances, region_boundary_distances
    _, first, _, last = model
    z = first(x.flatten(1))
    V = (last.weight*(z > 0)[:, None]) @ first.weight
    nearest = region_boundary_distances([z], [first.weight[None]], p).topk(n_rb, largest=False).values
    rivals = decision_boundary_distances(last(z.relu()), V, p, y)
    return ((1 - nearest/gamma_rb).clamp(min=0).sum()/n_rb
            + (1 - rivals/gamma_db).clamp(min=0).sum()/len(last.weight))/len(x)


def milliseconds(*steps, times):
    "Median of each over `times` runs, taken in turn after one that warms up"
    out = [[] for _ in steps]
    for _ in range(times + 1):
        for step, seen in zip(steps, out):
            start = time.perf_counter(); step(); seen.append(1000*(time.perf_counter() - start))
    medians = [round(median(seen[1:]), 1) for seen in out]
    return medians if len(steps) > 1 else medians[0]


class Peak:
    "Largest resident memory while inside, above that on entering, in MB"
    def __enter__(self):
        import psutil
        self.process, self.on = psutil.Process(), True
        self.start = self.top = self.process.memory_info().rss
        self.thread = threading.Thread(target=self.watch, daemon=True); self.thread.start()
        return self
    def watch(self):
        while self.on: self.top = max(self.top, self.process.memory_info().rss); time.sleep(.002)
    def __exit__(self, *_):
        self.on = False; self.thread.join(); self.mb = round((self.top - self.start)/2**20)


def measure(name, weights, args):
    "All numbers of one network with one kind of weights"
    import torch
    from torch.nn.functional import cross_entropy
    from mmr_nb.mmr import mmr_loss
    from mmr_nb.networks import load_weights, lower
    torch.set_num_threads(args.threads)
    model, images, labels = setting(name)
    x, y = images[:args.batch], labels[:args.batch]
    n, norms, rows = sum(lower(model, x.shape[1:]).n_hidden), list(map(float, args.norms.split(','))), []
    def step(loss, *a):
        model.zero_grad(); loss(*a).backward()
    with Peak() as peak:  # before the references, whose memory the process keeps
        stored = dict(t.split('=', 1) for t in args.trained)
        if weights == 'mmr-trained' and name in stored: model = load_weights(stored[name])
        elif weights == 'mmr-trained':
            train_a_little(model, images, labels, args.train_steps*(4 if name == 'fc1' else 1))
        for p in norms:
            for share in SHARES:
                asked = model, x, y, p, GAMMA[p], GAMMA[p], int(share*n)
                if name == 'fc1':
                    ms, port = milliseconds(lambda: step(mmr_loss, *asked), lambda: step(plain_port, *asked),
                                            times=5*args.steps)
                else: ms, port = milliseconds(lambda: step(mmr_loss, *asked), times=args.steps), None
                rows.append(dict(network=name, weights=weights, p=str(p), share=share, mmr_ms=ms, plain_port_ms=port,
                                 scan_gflop=scan_gflop(model, x, p, int(share*n))))
                print(rows[-1], file=sys.stderr, flush=True)
    plain, few = milliseconds(lambda: step(lambda: cross_entropy(model(x), y)), times=args.steps), args.dense_batch
    for p in norms:
        dense = milliseconds(lambda: step(dense_loss, model, x[:few], y[:few], p, GAMMA[p], GAMMA[p], int(.06*n)),
                             times=1)*len(x)/few
        for r in rows:
            if r['p'] == str(p):
                r.update(dense_ms=round(dense, 1), dense_batch=few, cross_entropy_ms=plain, peak_mb=peak.mb)
    return rows


def growth(args):
    "Milliseconds of one l_inf step as depth, width, batch or image size grow (untrained, random biases)"
    import torch, torch.nn as nn
    from mmr_nb.mmr import mmr_loss
    from mmr_nb.networks import init_weights, lower
    torch.set_num_threads(args.threads)
    def net(depth=2, width=16, side=28):
        layers, c = [], 1
        for i in range(depth):
            layers += [nn.Conv2d(c, width, 3, stride=2 if i < 2 else 1, padding=1), nn.ReLU()]; c = width
        model = init_weights(nn.Sequential(*layers, nn.Flatten(), nn.Linear(width*(side//2**min(depth, 2))**2, 10)))
        gen = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for m in model:
                if hasattr(m, 'bias'): m.bias.uniform_(-.1, .1, generator=gen)
        return model
    def ms(batch=64, side=28, **kw):
        model, gen = net(side=side, **kw), torch.Generator().manual_seed(0)
        x, y = torch.rand(batch, 1, side, side, generator=gen), torch.randint(0, 10, (batch,), generator=gen)
        n = sum(lower(model, (1, side, side)).n_hidden)
        def step(): model.zero_grad(); mmr_loss(model, x, y, math.inf, .1, .1, int(.05*n)).backward()
        return milliseconds(step, times=args.steps)
    return dict(depth={k: ms(depth=k) for k in (1, 2, 3, 4)}, width={k: ms(width=k) for k in (8, 16, 32)},
                batch={k: ms(batch=k) for k in (16, 32, 64, 128)}, side={k: ms(side=k) for k in (16, 28, 40)})


def scan_gflop(model, x, p, n_rb):
    ("Multiplications and additions of the exact rows that one step computes "
     "(units not ruled out, and rival classes), in GFLOP")
    import torch
    from mmr_nb.ball import dual
    from mmr_nb.networks import lower
    from mmr_nb.rows import Rows
    net = lower(model, x.shape[1:])
    with torch.no_grad():
        R = Rows(net, x)
        norms = R.scan([dual(p)], n_rb, [GAMMA[p]])[1][0].split(net.widths, 1)
    rows = [0, *((N > 0).sum().item() for N in norms[1:]), len(x)*(net.n_classes - 1)]
    return round(sum(2*n*R.row_cost(l)[0] for l, n in enumerate(rows))/1e9, 2)


def gemm_rate(threads):
    "float32 GFLOP/s of a 1024 x 1024 matrix product"
    import torch
    torch.set_num_threads(threads)
    A = torch.rand(1024, 1024)
    return round(2*1024**3/milliseconds(lambda: A @ A, times=9)/1e6, 1)


def summarise(rows, rate):
    ("Averages over the five shares: one line for each network, weights and norm; "
     "limit_ms: the exact rows at the matrix product's rate")
    out = []
    for key in dict.fromkeys((r['network'], r['weights'], r['p']) for r in rows):
        here = [r for r in rows if (r['network'], r['weights'], r['p']) == key]
        ms = sum(r['mmr_ms'] for r in here)/len(here)
        line = dict(network=key[0], weights=key[1], p=key[2], mmr_ms=round(ms, 1), dense_ms=here[0]['dense_ms'],
                    times_faster=round(here[0]['dense_ms']/ms, 1),
                    limit_ms=round(1000*sum(r['scan_gflop'] for r in here)/len(here)/rate, 1),
                    peak_mb=max(r['peak_mb'] for r in here), cross_entropy_ms=here[0]['cross_entropy_ms'])
        if here[0]['plain_port_ms']:
            line['faster_than_port'] = round(sum(r['plain_port_ms'] for r in here)/len(here)/ms, 2)
        out.append(line)
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--networks', default='fc1,fc10,cnn,cnn32')
    a.add_argument('--norms', default='1,2,inf')
    a.add_argument('--steps', type=int, default=5, help='timed runs, of which the median counts')
    a.add_argument('--batch', type=int, default=128)
    a.add_argument('--dense-batch', type=int, default=16, help='batch of the dense reference, scaled up')
    a.add_argument('--train-steps', type=int, default=150,
                   help='MMR steps (batch 128, l_inf, gamma 0.1) of the trained weights; '
                        'fc1, whose steps are cheap, takes four times as many')
    a.add_argument('--threads', type=int, default=2)
    a.add_argument('--trained', action='append', default=[],
                   help='NETWORK=FILE: weights trained with MMR elsewhere, instead of --train-steps')
    a.add_argument('--no-growth', action='store_true')
    a.add_argument('--out', help='also write the JSON here; networks in it that are not asked for stay')
    a.add_argument('--one', nargs=2, help=argparse.SUPPRESS)
    args = a.parse_args()
    if args.one: return print(json.dumps(measure(*args.one, args)))
    import torch
    rate, kept, grown = gemm_rate(args.threads), [], None
    if args.out and os.path.exists(args.out):
        before = json.load(open(args.out))
        kept, grown = [r for r in before['runs'] if r['network'] not in args.networks.split(',')], before['growth_ms']
    rows = kept
    for name in args.networks.split(','):
        for weights in ('untrained', 'mmr-trained'):
            done = subprocess.run([sys.executable, __file__, *sys.argv[1:], '--one', name, weights],
                                  stdout=subprocess.PIPE, text=True, check=True)
            rows += json.loads(done.stdout)
            write(args, rows, rate, grown)
    write(args, rows, rate, grown if args.no_growth else growth(args), show=True)


def write(args, rows, rate, grown=None, show=False):
    "The JSON of what is measured so far: to the file, and at the end to the terminal"
    import torch
    from mmr_nb.runs import write_file
    result = dict(machine=f'{args.threads} threads, {rate} GFLOP/s (float32 matrix product)',
                  python=platform.python_version(), torch=torch.__version__,
                  settings={k: v for k, v in vars(args).items() if k not in ('one', 'out')},
                  gamma={str(k): v for k, v in GAMMA.items()},
                  summary=summarise(rows, rate), runs=rows, growth_ms=grown)
    text = json.dumps(result, indent=1)
    if args.out: write_file(args.out, text + '\n')
    if show: print(text)


if __name__ == '__main__': main()
