"""How the house stands, in numbers: `make report`. Prints, and never refuses."""
import ast
import json
import re
from collections import Counter

from common import notebooks, root
from house import (cells, dead_links, lost_readers, missing_alts, missing_pictures, modules, public, twice, unexplained,
                   wrong_imports)


def size(node): return node.end_lineno - node.lineno + 1


def functions(tree):
    "(name, lines, number of arguments) of all functions and methods"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            a = node.args
            yield node.name, size(node), len(a.posonlyargs) + len(a.args) + len(a.kwonlyargs)


def code_lines(path):
    "The lines of a notebook's code, without directives such as `#| fig-alt:`"
    return [line for c in cells(path) if c['cell_type'] == 'code'
            for line in c['source'].split('\n') if not line.startswith('#|')]


def repeats(n=6):
    "Runs of n equal lines, blanks and comments apart, that stand in two places of the package"
    seen, pairs = {}, Counter()
    for name, _ in modules().items():
        lines = [(i, t) for i, line in enumerate((root/'mmr_nb'/f'{name}.py').read_text().split('\n'), 1)
                 if (t := line.split('  #')[0].strip()) and not t.startswith(('#', 'from ', 'import '))]
        for k in range(len(lines) - n + 1):
            key = tuple(t for _, t in lines[k:k + n])
            if key in seen and seen[key] != (name, k): pairs[f'{seen[key][0]} and {name}'] += 1
            seen.setdefault(key, (name, k))
    return pairs


def main():
    known = modules()
    all_functions = [(f'{m}.{f}', lines, args) for m, (_, tree) in known.items() for f, lines, args in functions(tree)]
    lines = [line for p in notebooks() for line in code_lines(p)]
    exported = [(p.stem, c['source'].count('\n') + 1) for p in notebooks() for c in cells(p)
                if re.match(r'#\|\s*exports?\b', c['source'])]
    names = [n for _, tree in known.values() for n in public(tree)]
    private = [n for n, *_ in all_functions if n.split('.')[1].startswith('_') and not n.split('.')[1].startswith('__')]
    print(f'code lines: {len(lines)}; over 100 characters {sum(len(t) > 100 for t in lines)/len(lines):.1%}, '
          f'over 120 {sum(len(t) > 120 for t in lines)/len(lines):.1%}')
    print(f'exported cells: {len(exported)}; over 30 lines {sum(n > 30 for _, n in exported)}, '
          f'over 40 lines {sum(n > 40 for _, n in exported)}')
    print(f'public names {len(names)}, private functions {len(private)}')
    print('longest functions:', ', '.join(f'{n} {k}' for n, k, _ in sorted(all_functions, key=lambda t: -t[1])[:8]))
    many = sorted((t for t in all_functions if t[2] > 8), key=lambda t: -t[2])
    print(f'functions with more than 8 arguments: {len(many)}:', ', '.join(f'{n} {k}' for n, _, k in many))
    print('repeats of six lines:', ', '.join(f'{k} ({n})' for k, n in repeats().items()) or 'none')
    for title, found in (('imports', wrong_imports()), ('names twice', twice()), ('pictures', missing_pictures()),
                         ('alt texts', missing_alts()), ('learning path', lost_readers()), ('links', dead_links())):
        print(f'{title}:', '; '.join(found) or 'in order')
    found = list(unexplained())
    print(f'reference, {len(found)} gaps:', *found, sep='\n  ')
    print(f"\n{'page':22} {'KB':>5} {'cells':>6} {'over 30':>8} {'over 120':>9} "
          f"{'words':>6} {'?':>4} {'you':>4} {'hidden source':>14}")
    for p in notebooks():
        page, text = list(cells(p)), ' '.join(c['source'] for c in cells(p) if c['cell_type'] == 'markdown')
        hidden = sum(bool(re.match(r'#\|\s*export\b', c['source'])) and 'def ' in c['source'] for c in page)
        long = sum(n > 30 for s, n in exported if s == p.stem)
        print(f"{p.stem:22} {len(json.dumps(page))//1000:5} {len(page):6} {long:8} "
              f"{sum(len(t) > 120 for t in code_lines(p)):9} "
              f"{len(text.split()):6} {text.count('?'):4} {len(re.findall(r'[Yy]ou', text)):4} {hidden:14}")


if __name__ == '__main__': main()
