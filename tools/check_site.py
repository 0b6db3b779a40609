"""Visit every page of _docs/ in headless Chromium, without network, as a reader would.

Fails on: errors on the console, missing files, links and anchors that lead nowhere, pictures that did not load or don't
say what is seen, TeX that was not typeset, requests to other hosts, pages the navigation does not reach or that are
wider than a telephone, a search that finds nothing, an explorer whose numbers are not those of mmr_nb when its point is
moved by mouse and by keys.
`python tools/check_site.py --shots DIR` also keeps pictures of each page, on a wide and a narrow screen,
light and dark.
"""
import argparse
import base64
import functools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import websocket
from common import fail, root

docs = root/'_docs'
flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
         '--no-default-browser-check', '--disable-background-networking', '--disable-component-update',
         '--disable-sync', '--disable-extensions', '--mute-audio', '--hide-scrollbars', '--window-size=1400,1000',
         '--remote-debugging-port=0', '--remote-allow-origins=*',
         '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']

look = r'''(async () => {
  await document.fonts.ready;
  for (const img of document.images) { img.loading = "eager"; try { await img.decode(); } catch (e) {} }
  const tex = [], shown = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = shown.nextNode();) {
    if (n.parentElement.closest(
      "script, style, code, pre, textarea, .katex, .MathJax, math, .smalldocs-search-results")) continue;
    const m = n.data.match(
      /\$\$|\\\(|\\\[|\$[^$\n]{1,200}\$|\\(?:begin|frac|mathbb|mathrm|left|right|le|ge|max|min|sum)\b/);
    if (m) tex.push(n.data.slice(Math.max(0, m.index - 20), m.index + 60).trim());
  }
  const all = (root, what) => [...root.querySelectorAll(what),
    ...[...root.querySelectorAll("*")].flatMap(e => e.shadowRoot ? all(e.shadowRoot, what) : [])];
  const named = e => (e.getAttribute("alt") || e.getAttribute("aria-label")
    || e.querySelector(":scope > title")?.textContent || "").trim();
  const hidden = e => e.closest("[aria-hidden=true], #quarto-sidebar, nav, header, footer")
    || !e.getBoundingClientRect().width;
  const mute = all(document, "img, svg, canvas")
    .filter(e => !hidden(e) && !e.parentElement.closest("svg, .katex") && !named(e));
  const visible = e => e.getBoundingClientRect().width > 0;
  return {
    title: document.title, heading: !!document.querySelector("h1"),
    ids: [...document.querySelectorAll("[id]")].map(e => e.id)
      .concat([...document.querySelectorAll("a[name]")].map(e => e.name)),
    links: [...document.querySelectorAll("a[href]")].map(e => e.href),
    images: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src.slice(0, 120)),
    typeset: [...document.querySelectorAll(".math")]
      .filter(e => [...e.querySelectorAll(".katex, mjx-container, math")].some(visible)).length,
    untypeset: [...document.querySelectorAll(".math")].filter(e => !e.querySelector(".katex, mjx-container, math"))
      .map(e => e.textContent.slice(0, 80)),
    bad: [...document.querySelectorAll(".katex-error, mjx-merror")].map(e => (e.title || e.textContent).slice(0, 160)),
    mute: mute.map(e => (e.src || e.outerHTML).slice(0, 80)),
    fonts: [...document.fonts].filter(f => f.status == "error").map(f => f.family), tex,
  };
})()'''


class Chromium:
    "A headless browser, driven over its DevTools protocol"
    def __init__(self, binary):
        self.dir = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen([binary, *flags, f'--user-data-dir={self.dir.name}', 'about:blank'],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True)
        port, end = Path(self.dir.name)/'DevToolsActivePort', time.time() + 60
        while not (port.exists() and port.read_text().count('\n')):
            if self.process.poll() is not None or time.time() > end:
                self.close()
                fail(f'{binary} does not start')
            time.sleep(0.1)
        number, path = port.read_text().split('\n')[:2]
        self.ws = websocket.create_connection(f'ws://127.0.0.1:{number}{path}', timeout=60, suppress_origin=True)
        self.id, self.events, self.session = 0, [], None
        target = self('Target.createTarget', url='about:blank')['targetId']
        self.session = self('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'): self(f'{domain}.enable')

    def __call__(self, method, **params):
        "Send one command and wait for its answer; events go to `events`"
        self.id += 1
        msg = dict(id=self.id, method=method, params=params)
        if self.session: msg['sessionId'] = self.session
        self.ws.send(json.dumps(msg))
        while True:
            got = json.loads(self.ws.recv())
            if got.get('id') == self.id:
                if 'error' in got: raise RuntimeError(f"{method}: {got['error']['message']}")
                return got['result']
            if 'method' in got: self.events.append(got)

    def js(self, code):
        "The value of a JavaScript expression on the page"
        res = self('Runtime.evaluate', expression=code, awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in res: raise RuntimeError(str(res['exceptionDetails'])[:500])
        return res['result'].get('value')

    def wait(self, code, seconds=15):
        "Wait until a JavaScript expression is true; False when it does not become so"
        end = time.time() + seconds
        while time.time() < end:
            try:
                if self.js(code): return True
            except RuntimeError: pass  # a page that is being left
            time.sleep(0.05)
        return False

    def open(self, url):
        "Go to a page and wait until it is loaded; -> what went wrong on the way"
        self.events.clear()
        self('Page.navigate', url=url)
        where = json.dumps(url.split('#')[0])
        ok = self.wait(f"document.readyState == 'complete' && location.href.split('#')[0] == {where}", 30)
        return [] if ok else ['the page does not load']

    def trouble(self, base):
        "What the browser complained of since the page was opened"
        self.js('new Promise(r => setTimeout(r, 150))')
        for e in self.events:
            p = e['params']
            if e['method'] == 'Runtime.exceptionThrown':
                d = p['exceptionDetails']
                yield 'error: ' + d.get('exception', {}).get('description', d['text'])[:300]
            elif e['method'] == 'Runtime.consoleAPICalled' and p['type'] in ('error', 'warning', 'assert'):
                yield (f"console {p['type']}: "
                       + ' '.join(str(a.get('value', a.get('description', ''))) for a in p['args'])[:300])
            elif e['method'] == 'Log.entryAdded' and p['entry']['level'] in ('error', 'warning'):
                yield f"{p['entry']['level']}: {p['entry']['text'][:200]} {p['entry'].get('url', '')}"
            elif e['method'] == 'Network.requestWillBeSent':
                if not p['request']['url'].startswith((base, 'data:', 'blob:')):
                    yield 'asks another host: ' + p['request']['url'][:200]
            elif e['method'] == 'Network.responseReceived' and p['response']['status'] >= 400:
                yield f"{p['response']['status']}: {p['response']['url']}"

    def click(self, selector, n=0):
        "Click the middle of the n-th visible element of a selector, with the mouse; False when there is none"
        spot = self.js(f'''(() => {{
          const e = [...document.querySelectorAll({json.dumps(selector)})]
            .filter(e => e.getBoundingClientRect().width)[{n}];
          if (!e) return null;
          e.scrollIntoView({{block: "center", behavior: "instant"}});
          const r = e.getClientRects()[0];
          return [r.x + r.width / 2, r.y + r.height / 2];
        }})()''')
        if not spot: return False
        for kind in ('mousePressed', 'mouseReleased'):
            self('Input.dispatchMouseEvent', type=kind, x=spot[0], y=spot[1], button='left', clickCount=1)
        return True

    def appear(self, width, scheme):
        "Give the window a width, and the reader a liking for light or dark"
        self('Emulation.setDeviceMetricsOverride', width=width, height=1000, deviceScaleFactor=1, mobile=False)
        self('Emulation.setEmulatedMedia', features=[dict(name='prefers-color-scheme', value=scheme)])
        self.js('new Promise(r => setTimeout(r, 50))')

    def shot(self, path):
        "A picture of the whole page, in pieces of 8000 pixels"
        size = self('Page.getLayoutMetrics')['cssContentSize']
        for k, y in enumerate(range(0, math.ceil(size['height']), 8000), 1):
            clip = dict(x=0, y=y, width=size['width'], height=min(size['height'] - y, 8000), scale=1)
            png = self('Page.captureScreenshot', captureBeyondViewport=True, clip=clip)['data']
            path.with_stem(f'{path.stem}-{k}').write_bytes(base64.b64decode(png))

    def close(self):
        "End the browser and forget its profile"
        try: os.killpg(self.process.pid, 9)
        except ProcessLookupError: pass
        self.process.wait()
        self.dir.cleanup()


class Quiet(SimpleHTTPRequestHandler):
    "Serves files without a line for each"
    def log_message(self, *args): pass


too_wide = '''[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .filter(e => { for (let p = e.parentElement; p; p = p.parentElement)
    if (p != document.documentElement && p != document.body && getComputedStyle(p).overflowX != "visible")
      return false; return true; })
  .slice(0, 1).map(e => e.tagName.toLowerCase() + " " + e.textContent.trim().slice(0, 60))'''


def views(browser, name, shots):
    "Look at a page on a wide and a narrow screen, light and dark, and keep the pictures if wanted; -> what sticks out"
    for width in (1400, 390):
        for scheme in ('light', 'dark') if shots else ('light',):
            browser.appear(width, scheme)
            if shots:
                browser.js('new Promise(r => setTimeout(r, 400))')
                browser.shot(Path(shots)/f"{name.replace('/', '_')[:-5]}-{width}-{scheme}.png")
        if browser.js('document.documentElement.scrollWidth > innerWidth'):
            yield f"wider than a screen of {width} pixels: {' '.join(browser.js(too_wide))}"
    browser.appear(1400, 'light')


def visit(browser, base, pages, shots):
    "Open each page; -> {page: what the page holds}, [(page, what is wrong)]"
    seen, wrong = {}, []
    for name in pages:
        problems = browser.open(f'{base}/{name}')
        if not problems:
            got = seen[name] = browser.js(look)
            problems += ([f'picture does not load: {i}' for i in got['images']]
                         + [f'not typeset: {t}' for t in got['untypeset']])
            problems += [f'picture without alt text: {m}' for m in got['mute']]
            problems += [f'TeX as text: {t}' for t in got['tex']] + [f'bad equation: {t}' for t in got['bad']]
            problems += [f'font does not load: {f}' for f in got['fonts']] + ([] if got['heading'] else ['no h1'])
            problems += views(browser, name, shots)
        problems += browser.trouble(base)
        wrong += [(name, p) for p in dict.fromkeys(problems)]
        print(f"  {name:32} {seen.get(name, {}).get('typeset', 0):4} equations, "
              f"{len(seen.get(name, {}).get('links', [])):4} links", flush=True)
    return seen, wrong


def dead_links(base, seen):
    "Links within the site to a file or an anchor that is not there; names in a link that nbdev made a link of its own"
    for name, got in seen.items():
        if '</a>](' in (docs/name).read_text(encoding='utf-8'):
            yield name, 'a link within a link: name the notebook, not the symbol, as [`05_mmr`](05_mmr.ipynb)'
        for href in dict.fromkeys(got['links']):
            if not href.startswith(base): continue
            url = urlsplit(href)
            path, anchor = unquote(url.path).lstrip('/'), unquote(url.fragment)
            if path == '' or path.endswith('/'): path += 'index.html'
            if not (docs/path).is_file(): yield name, f'broken link: {href[len(base):]}'
            elif anchor and path in seen and anchor not in seen[path]['ids']:
                yield name, f'no such anchor: {path}#{anchor}'


def here(browser): return browser.js('location.pathname').lstrip('/')


def use(browser, base, seen):
    "Navigation, table of contents and search, used with mouse and keyboard; -> [(page, what is wrong)]"
    start, wrong = 'index.html' if 'index.html' in seen else next(iter(seen)), []
    browser.open(f'{base}/{start}')
    listed = browser.js('[...document.querySelectorAll("#quarto-sidebar a[href]")]'
                        '.map(e => new URL(e.href).pathname.slice(1))')
    wrong += [(name, 'not in the sidebar') for name in seen if name not in listed and name != '404.html']
    others = [i for i, name in enumerate(browser.js('''[...document.querySelectorAll("#quarto-sidebar a[href]")]
        .filter(e => e.getBoundingClientRect().width).map(e => new URL(e.href).pathname.slice(1))''')) if name != start]
    if others:
        browser.click('#quarto-sidebar a[href]', others[0])
        if not browser.wait(f'location.pathname != "/{start}" && document.readyState == "complete"'):
            wrong.append((start, 'a click in the sidebar leads nowhere'))
        at = here(browser)
        if browser.click('#TOC a[href]') and not browser.wait('location.hash.length > 1'):
            wrong.append((at, 'a click in the table of contents leads nowhere'))
        browser.open(f'{base}/{start}')
        if not browser.click('.nav-page-next a'): wrong.append((start, 'no link to the next page'))
        elif not browser.wait(f'location.pathname != "/{start}" && document.readyState == "complete"'):
            wrong.append((start, 'the link to the next page leads nowhere'))
    browser.open(f'{base}/{start}')
    if not browser.js('!!document.querySelector(".smalldocs-search input")'):
        print('  the search is not smalldocs\': not tried')
        return wrong
    entries = json.loads((docs/'search.json').read_text(encoding='utf-8'))
    target = max((e for e in entries if not e['href'].startswith(start) and e['section']),
                 key=lambda e: len(e['section']), default=None)
    if not target: return [*wrong, (start, 'search.json knows no section')]
    browser.click('.smalldocs-search input')
    browser('Input.insertText', text=target['section'])
    if not browser.wait('document.querySelectorAll(".search-result").length'):
        return [*wrong, (start, f"search finds nothing for {target['section']!r}")]
    found = browser.js('[...document.querySelectorAll(".search-result")]'
                       '.map(e => new URL(e.href).pathname.slice(1) + new URL(e.href).hash)')
    if target['href'] not in map(unquote, found):
        wrong.append((start, f"search for {target['section']!r} does not find {target['href']}"))
    browser.click('.search-result')
    if not browser.wait('document.readyState == "complete" && !document.querySelector(".search-result")'):
        wrong.append((start, 'a click on a search result leads nowhere'))
    if here(browser) not in seen: wrong.append((start, f'a search result leads to {here(browser)}'))
    wrong += [(start, p) for p in browser.trouble(base)]
    return wrong


explorer_js = r'''(() => {
  const host = document.querySelectorAll(".mmr-explorer")[HOST], root = host.shadowRoot;
  const at = e => { const r = e.getBoundingClientRect(); return [r.x + r.width/2, r.y + r.height/2]; };
  root.querySelector("section svg").scrollIntoView({block: "center", behavior: "instant"});
  return {
    x: host.dataset.x.split(" ").map(Number), ms: +host.dataset.ms, boxed: root.querySelector("[name=boxed]").checked,
    architecture: +(root.querySelector("[name=architecture]:checked") || {value: 0}).value,
    step: +(root.querySelector("[name=step]") || {value: 0}).value,
    heard: root.querySelector("[aria-live]").textContent,
    maps: [...root.querySelectorAll("section svg")].map(at), box: at(root.querySelector("[name=boxed]")),
    numbers: [...root.querySelectorAll("section")].map(
      s => [...s.querySelectorAll("data[data-p]")].map(e => [e.dataset.p, e.dataset.what, e.value])),
  };
})()'''


def wrong_numbers(record, state):
    "Numbers of an explorer that differ from mmr_nb's by more than 1e-6"
    import torch
    from mmr_nb.explorer import explorer_numbers, read_layers
    x, box = torch.tensor([state['x']], dtype=torch.float64), record['box'] if state['boxed'] else None
    for scheme, by_step, shown in zip(record['schemes'], record['networks'][state['architecture']], state['numbers']):
        net = read_layers(by_step[state['step']])
        ours = {p: explorer_numbers(net, x, p, box) for p in ('1', '2', 'inf')}
        for p, what, text in shown:
            a, b = text if what == 'exact' else float(text.replace('Infinity', 'inf')), ours[p][what].item()
            same = a == str(b).lower() if what == 'exact' else a == b or abs(a - b) < 1e-6
            if not same and not (what == 'adversarial' and a == float('inf') and not state['boxed'] and b > 3):
                yield f"explorer at {state['x']}: {scheme}, p = {p}: {what} is {b}, shown is {text}"


def explore(browser, base, name):
    "Move the point of a page's explorers by mouse and keys, read what they show; -> what is wrong, numbers compared"
    wrong, n = browser.open(f'{base}/{name}'), 0
    for i in range(browser.js('document.querySelectorAll(".mmr-explorer").length')):
        look = explorer_js.replace('HOST', str(i))
        record = json.loads(browser.js(
            f'document.querySelectorAll(".mmr-explorer")[{i}].querySelector("script").textContent'))
        state, waits = browser.js(look), []
        mouse = lambda kind, x, y: browser('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left',
                                           buttons=int(kind != 'mouseReleased'), clickCount=1)
        def press(key):
            for kind in ('keyDown', 'keyUp'): browser('Input.dispatchKeyEvent', type=kind, key=key, code=key)
        for k, move in enumerate(('drag', 'keys', 'box', 'drag', 'keys')):
            before, (x, y) = state['x'], browser.js(look)['maps'][k % len(state['maps'])]
            if move == 'drag':
                mouse('mousePressed', x + 9, y + 11)
                for step in range(8): mouse('mouseMoved', x + 9 - 5*step, y + 11 + 4*step*(1 if k else -1))
                mouse('mouseReleased', x - 26, y + (39 if k else -17))
            if move == 'keys':
                for key in ('ArrowRight', 'ArrowRight', 'ArrowUp'): press(key)
            if move == 'box':
                for kind in ('mousePressed', 'mouseReleased'): mouse(kind, *browser.js(look)['box'])
            was = json.dumps([state['x'], state['boxed']], separators=(',', ':'))
            if not browser.wait(f'(s => JSON.stringify([s.x, s.boxed]) != {json.dumps(was)})({look})', 5):
                wrong.append(f'explorer: nothing moves by {move}')
            time.sleep(.1)
            state = browser.js(look)
            if move == 'keys' and not (abs(state['x'][0] - before[0] - .02) < 1e-9
                                       and abs(state['x'][1] - before[1] - .01) < 1e-9):
                wrong.append(f"explorer: three keys lead from {before} to {state['x']}")
            waits.append(state['ms'])
            wrong += wrong_numbers(record, state)
            n += sum(map(len, state['numbers']))
        if not browser.wait(f"({look}).heard.includes({json.dumps(str(state['x'][0]))})", 5):
            wrong.append('explorer: does not say where the point is')
        print(f'  {name}: milliseconds a move: {waits}', flush=True)
    return [*wrong, *browser.trouble(base)], n


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--shots', help='folder for pictures of each page, 1400 and 390 pixels wide, light and dark')
    args = p.parse_args()
    binary = os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, (
        'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'))), None)
    if not binary: fail('no Chromium found: install it (Debian: apt-get install chromium) or name one in CHROMIUM')
    pages = sorted(f.relative_to(docs).as_posix() for f in docs.glob('**/*.html') if 'site_libs' not in f.parts)
    if not pages: fail('_docs/ has no pages; run `make docs` first')
    if args.shots: Path(args.shots).mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=docs))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f'http://127.0.0.1:{server.server_port}'
    print(f'{len(pages)} pages in {Path(binary).name}', flush=True)
    browser = Chromium(binary)
    try:
        seen, wrong = visit(browser, base, pages, args.shots)
        wrong += [*dead_links(base, seen), *use(browser, base, seen)]
        for name in (name for name in seen if 'class="mmr-explorer"' in (docs/name).read_text(encoding='utf-8')):
            found, n = explore(browser, base, name)
            print(f'  {name}: {n} numbers of the explorer compared with mmr_nb', flush=True)
            wrong += [(name, p) for p in found]
    finally:
        browser.close()
        server.shutdown()
    for name, problem in wrong: print(f'{name}: {problem}')
    print(f"{len(wrong)} thing{'s' * (len(wrong) != 1)} to mend in the site" if wrong else
          f"site: {len(pages)} pages, {sum(s['typeset'] for s in seen.values())} equations, "
          "links, pictures, navigation and search are in order")
    sys.exit(1 if wrong else 0)


if __name__ == '__main__': main()
