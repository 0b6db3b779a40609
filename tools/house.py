"""The structure of the project as the notebooks give it: modules, their imports and names, cells, pictures, links.

`check.py` refuses what breaks the rules below; `report.py` counts the rest.
"""
import ast
import json
import re
from collections import defaultdict
from pathlib import Path

from common import install_cell, notebooks, repo_path, root, settings

apart = {'regions', 'distances', 'certificate', 'mmr'}               # the theory ...
heavy = {'data', 'training', 'milp', 'solver', 'branch', 'certify'}  # ... needs none of these


def cells(path):
    "A notebook's cells, each with its source as text"
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']: yield {**cell, 'source': ''.join(cell['source'])}


def number(path):
    "A notebook's number; None for index"
    return int(m[0]) if (m := re.match(r'\d+', path.stem)) else None


def modules():
    "{module: (number of its notebook, syntax tree)}"
    out = {}
    for path in notebooks():
        name = next((m[1] for c in cells(path) if (m := re.match(r'#\|\s*default_exp\s+(\w+)', c['source']))), None)
        if name: out[name] = number(path), ast.parse((root/'mmr_nb'/f'{name}.py').read_text(encoding='utf-8'))
    return out


def imports(tree):
    "(module, name) of what a module takes from others of the package"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            for alias in node.names: yield node.module, alias.name


def public(tree):
    "The names in __all__"
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
            return ast.literal_eval(node.value)
    return []


def allowed(name, n, other, m):
    "Why module `name` of notebook n may not import module `other` of notebook m; None if it may"
    if name == 'soundness': return None
    if other == 'soundness': return 'nothing imports the soundness gate'
    if name in apart and other in heavy: return 'the theory needs no data, training or solver'
    if 40 <= n < 50 and m < 40: return 'the engine room imports only itself'
    if (n >= 40 or m < 40) and m >= n: return 'a page imports pages of smaller numbers'
    return None


def wrong_imports():
    "Imports of private names, and those against the order of the house"
    known = modules()
    for name, (n, tree) in known.items():
        for other, what in sorted(set(imports(tree))):
            if what.startswith('_') and not what.startswith('__'):
                yield f'{name} imports the private name {other}.{what}'
            if other in known and (why := allowed(name, n, other, known[other][0])):
                yield f'{name} imports {other}: {why}'


def twice():
    "Names that two modules export"
    where = defaultdict(list)
    for name, (_, tree) in modules().items():
        taken = {what for _, what in imports(tree)}  # shown again on purpose, as networks does with lower
        for p in set(public(tree)) - taken: where[p].append(name)
    for p, names in where.items():
        if len(names) > 1: yield f"{p} is exported by {' and '.join(names)}"


def _draws(source):
    "Does a cell draw when it runs (not only in a function that it defines)?"
    try: tree = ast.parse(re.sub(r'^[%!].*$', '', source, flags=re.M))
    except SyntaxError: return False
    todo = [n for n in tree.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Lambda): continue
        if (isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == 'plt'
                and node.attr in ('subplots', 'figure', 'show')): return True
        todo += ast.iter_child_nodes(node)
    return False


def shown_code(path):
    "What a reader of the page sees run: no exported or hidden cells, no sections that the docs leave out"
    left_out = False
    for cell in cells(path):
        if cell['cell_type'] == 'markdown' and re.match(r'#+ ', cell['source']):
            left_out = cell['source'].split('\n')[0].endswith(' -')
        if (cell['cell_type'] == 'code' and not left_out
                and not re.search(r'^#\|\s*(hide|exports?)\b', cell['source'], re.M)): yield cell['source']


def unexplained():
    ("Public names without docstring, parameters or fields without a word, "
     "and functions that their page never calls before the reader's eyes")
    for path in notebooks():
        code = list(cells(path))
        name = next((m[1] for c in code if (m := re.match(r'#\|\s*default_exp\s+(\w+)', c['source']))), None)
        if not name: continue
        text = (root/'mmr_nb'/f'{name}.py').read_text(encoding='utf-8')
        tree, lines, shown = ast.parse(text), text.split('\n'), list(shown_code(path))
        taken = {what for _, what in imports(tree)}
        for node in tree.body:
            if (not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name not in public(tree)
                    or node.name in taken): continue
            if not ast.get_docstring(node): yield f'{name}.{node.name}: no docstring'
            if isinstance(node, ast.ClassDef):
                silent = [f.target.id for f in node.body if isinstance(f, ast.AnnAssign)
                          and not f.target.id.startswith('_') and '#' not in lines[f.end_lineno - 1]]
                if silent: yield f'{name}.{node.name}: no word about {", ".join(silent)}'
            if isinstance(node, ast.FunctionDef):
                args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                told = lambda a: '#' in lines[a.end_lineno - 1] or a.lineno > node.lineno and '#' in lines[a.lineno - 2]
                silent = [a.arg for a in args if a.arg != 'self' and not told(a)]
                if silent: yield f'{name}.{node.name}: no word about {", ".join(silent)}'
            if isinstance(node, ast.FunctionDef) and not any(re.search(rf'\b{node.name}\b', c) for c in shown):
                yield f'{name}.{node.name}: no shown example'


def missing_pictures():
    "Cells that draw but have no stored picture"
    for path in notebooks():
        for cell in cells(path):
            if cell['cell_type'] != 'code' or not _draws(cell['source']) or 'plt.close' in cell['source']: continue
            kinds = {k for out in cell['outputs'] for k in out.get('data', {})}
            if not any(k.startswith('image/') or k in ('text/html', 'text/markdown') for k in kinds):
                yield (f"{path.name}, cell {cell['id']}: draws, but holds no picture: "
                       f"{cell['source'].strip().splitlines()[0][:60]}")


def missing_alts():
    ("Pictures of the site that don't say what is seen: a cell's `#| fig-alt:`, an SVG's aria-label, "
     "the text of a markdown picture")
    for path in notebooks():
        for cell in cells(path):
            if cell['cell_type'] == 'markdown':
                for target in re.findall(r'!\[\s*\]\(([^)\s]+)', cell['source']):
                    yield f"{path.name}, cell {cell['id']}: {target} has no alt text"
                continue
            head = re.match(r'(?:\s*#\s*\|.*\n?)*', cell['source'])[0]
            if cell['cell_type'] != 'code' or re.search(r'\|\s*hide\b', head): continue
            shown = [out['data'] for out in cell['outputs'] if any(k.startswith('image/') for k in out.get('data', {}))]
            silent = [d for d in shown if 'aria-label' not in ''.join(d.get('image/svg+xml', ''))]
            first = cell['source'][len(head):].strip().split('\n')[0][:60]
            if silent and not re.search(r'\|\s*fig-alt:\s*"[^"]{20,}"', head):
                yield f"{path.name}, cell {cell['id']}: a picture without `#| fig-alt:`: {first}"
            if len(shown) > 1: yield f"{path.name}, cell {cell['id']}: {len(shown)} pictures, one alt text: {first}"


def lost_readers():
    "Pages that don't say at their top what they assume and at their end what to read next, or couldn't be run on Colab"
    for path in notebooks():
        page = list(cells(path))
        if page[1]['source'] != install_cell(settings()):
            yield (f'{path.name}: the second cell does not install the package where it is missing '
                   '(`make prepare` puts it there)')
        if path.stem == 'index': continue
        said = [c['source'] for c in page
                if c['cell_type'] == 'markdown' and not re.match(r'#+ .* -$', c['source'].split('\n')[0])]
        if not re.search(r'\b([Yy]ou should (have read|know)|[Nn]othing to know before)\b', ' '.join(said[1:3])):
            yield f'{path.name}: the opening says neither "You should have read ..." nor "Nothing to know before"'
        if not re.search(r'^Next: .*\]\(', said[-1], re.M):
            yield f'{path.name}: no line "Next: ..." with a link at the end'


def dead_links():
    "Relative links of a notebook's text to files that aren't there"
    for path in notebooks():
        for cell in cells(path):
            if cell['cell_type'] != 'markdown': continue
            for target in re.findall(r'\]\(([^)\s]+)\)', cell['source']):
                if re.match(r'[a-z][a-z0-9+.-]*:|/|#|\{|%7B', target, re.I): continue
                if not repo_path(target): yield f"{path.name}, cell {cell['id']}: links to {target}, which isn't there"


def mixed_imports():
    "Cells that import and do something else: the docs run them, for the imports, and so all of it"
    for path in notebooks():
        if path.stem == 'index': continue  # its example is to be copied whole
        for cell in cells(path):
            if cell['cell_type'] != 'code' or 'nbdev_export()' in cell['source']: continue
            try: tree = ast.parse(re.sub(r'^[%!].*$', '', cell['source'], flags=re.M))
            except SyntaxError: continue
            kinds = {isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body}
            if len(kinds) == 2:
                yield f"{path.name}, cell {cell['id']}: imports share a cell with other code, which the docs would run"
