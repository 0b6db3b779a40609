"""The documentation site, from the notebooks into _docs/: with Quarto where it is installed, else with smalldocs.

nbdev prepares each notebook (hidden cells dropped, API tables and links put in); pages are named as nbdev names them,
so `02_regions.ipynb` becomes `regions.html`; KaTeX lies in the site, so equations need no network.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from common import fail, fill, map_links, nbs, notebooks, process, repo_path, root, settings

proc, docs = root/'_proc', root/'_docs'
sections = [  # the wings of the house: title, notebooks of these numbers
    ('Play', 50, 59), ('The paper', 0, 6), ('Finding and proving', 7, 12), ('Training, models, commands', 13, 19),
    ("The paper's tables and figures", 20, 29), ('How to', 30, 39), ('Engine room', 40, 49)]


def page(path):
    "The page of a notebook, as nbdev names it: without number, in small letters"
    return re.sub(r'^\d+[a-zA-Z0-9]*_', '', path.stem.lower())


def sidebar():
    "index, then the notebooks by sections"
    paths = [p for p in notebooks() if p.stem != 'index']
    number = {p: int(m[0]) if (m := re.match(r'\d+', p.stem)) else None for p in paths}
    if lost := [p.name for p in paths
                if not any(number[p] is not None and a <= number[p] <= b for _, a, b in sections)]:
        fail(f"{', '.join(lost)}: no section of the sidebar (tools/docs.py) holds that number")
    parts = [dict(section=t, contents=[f'{page(p)}.ipynb' for p in paths if a <= number[p] <= b])
             for t, a, b in sections]
    index = ['index.ipynb'] if (nbs/'index.ipynb').exists() else []
    return dict(website=dict(sidebar=dict(contents=index + [s for s in parts if s['contents']])))


def minutes(nb):
    "Reading time of a page: 200 words or 20 lines of code a minute"
    words = sum(len(c.source.split()) for c in nb.cells if c.cell_type == 'markdown')
    code = [line for c in nb.cells if c.cell_type == 'code' and 'echo: false' not in c.source
            for line in c.source.split('\n')]
    n = max(1, round(words/200 + sum(bool(line.strip()) and not line.startswith('#|') for line in code)/20))
    return f"{n} minute{'s' * (n > 1)} to read"


def for_site(target, cfg, pages, copies):
    "A link of a notebook as the site has it; pictures from outside nbs/ go into `copies`"
    if target.startswith(cfg['doc_url'] + '/'):  # nbdev's own links to symbols: the same pages, wherever the site lies
        local = re.sub('#_.*', '', target[len(cfg['doc_url']) + 1:])  # private names have no entry of their own
        return local if local.split('.html')[0] in pages.values() else target
    path = repo_path(target)
    if not path: return fill(target, cfg)
    tail = m[0] if (m := re.search(r'[#?].*', target)) else ''
    if root/path in pages: return f'{pages[root/path]}.html{tail}'
    if path.startswith('nbs/'): return path[len('nbs/'):] + tail
    if Path(path).suffix in ('.png', '.jpg', '.svg', '.gif', '.webp'):
        copies.add(path)
        return path
    return f"{cfg['git_url']}/blob/{cfg['branch']}/{path}{tail}"


def plain_code(text):
    "nbdev links symbols in the comments of a signature too, where a link is but its source"
    return re.sub(r'```.*?```', lambda m: re.sub(r'\[(`[^`\]]+`)\]\([^)]*\)', r'\1', m[0]), text, flags=re.S)


def prepare(cfg, quarto):
    "Fill _proc/ with the processed notebooks and all else the site needs"
    import yaml
    from execnb.nbio import mk_cell, write_nb
    from nbdev.quarto import refresh_quarto_yml
    refresh_quarto_yml()
    (nbs/'sidebar.yml').write_text(yaml.safe_dump(sidebar(), sort_keys=False))
    shutil.rmtree(proc, ignore_errors=True)
    shutil.copytree(nbs, proc, ignore=shutil.ignore_patterns('*.ipynb', '.*', 'data'))
    if quarto:  # what smalldocs does by itself, or by styles.css
        look = yaml.safe_load((nbs/'_quarto.yml').read_text())
        look['format']['html'] |= {'html-math-method': dict(method='katex', url='katex/'),
                                   'grid': {'body-width': '870px'}}
        (proc/'_quarto.yml').write_text(yaml.safe_dump(look, sort_keys=False))
    pages, copies = {p: page(p) for p in notebooks()}, set()
    if len(set(pages.values())) < len(pages):
        fail('two notebooks have the same page name: ' + ', '.join(p.name for p in pages))
    for path, name in pages.items():
        print(f'  {path.name}', flush=True)
        nb = process(path)
        for cell in nb.cells:
            if cell.cell_type == 'markdown':
                cell.source = map_links(cell.source, lambda t: for_site(t, cfg, pages, copies))
            for out in cell.get('outputs', []):
                for kind in ('text/markdown', 'text/html'):
                    if text := out.get('data', {}).get(kind):
                        out['data'][kind] = map_links(plain_code(''.join(text)),
                                                      lambda t: for_site(t, cfg, pages, copies))
        source = (f"[{path.name}]({cfg['git_url']}/blob/{cfg['branch']}/nbs/{path.name}) · "
                  f"[run it in Colab]({cfg['colab_url']}/{path.name}) · {minutes(nb)}")
        if nb.cells[0].cell_type == 'raw':
            nb.cells[0].source = re.sub(r'^output-file:.*\n', '', nb.cells[0].source, flags=re.M)
        nb.cells.insert(1, mk_cell(f'::: {{.page-source}}\nMade from {source}\n:::', 'markdown'))
        write_nb(nb, proc/f'{name}.ipynb')
    for f in copies:
        (proc/f).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root/f, proc/f)


def render(quarto):
    "_proc/ -> _docs/"
    out = proc/'_docs'
    if quarto:
        subprocess.run(['quarto', 'render', '--no-cache'], cwd=proc, check=True)
    else:
        subprocess.run([Path(sys.executable).parent/'smalldocs', 'render', '--quiet', proc], cwd=root, check=True)
        for f in out.glob('**/*.html'):  # smalldocs points to KaTeX on a public server; ours lies in the site
            text = f.read_text(encoding='utf-8')
            up = '../' * (len(f.relative_to(out).parts) - 1)
            f.write_text(re.sub(r'https://cdn\.jsdelivr\.net/npm/katex@[^/"]+/dist', f'{up}katex', text),
                         encoding='utf-8')
        for f in out.glob('site_libs/themes/*.css'):  # nor do we ask another host for letters
            f.write_text(re.sub(r'@import url\([^)]*//fonts\.[^)]*\);?', '', f.read_text(encoding='utf-8')),
                         encoding='utf-8')
    (out/'.nojekyll').touch()
    shutil.rmtree(docs, ignore_errors=True)
    shutil.move(out, docs)


def main():
    os.chdir(root)
    quarto = shutil.which('quarto')
    if not quarto and sys.version_info < (3, 11):
        fail(f'without Quarto the docs are built by smalldocs, which needs Python 3.11 or newer; this is Python '
             f'{sys.version_info[0]}.{sys.version_info[1]}. Install Quarto (quarto.org), or: '
             'rm -rf .venv; make docs PYTHON=python3.12')
    print(f"docs with {'Quarto' if quarto else 'smalldocs'}", flush=True)
    prepare(settings(), quarto)
    try: render(quarto)
    except subprocess.CalledProcessError as e: fail(f'{Path(e.cmd[0]).name} could not build the site')
    print(f"{len(list(docs.glob('*.html')))} pages in _docs/; to read them: "
          f"{Path(sys.executable).name} -m http.server -d _docs")


if __name__ == '__main__': main()
