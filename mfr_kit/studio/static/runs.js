// Runs with their curves, renewed while they go, and reports to open.

import {count, get, h, pageAddress, problemLine, select, svg} from './dom.js';

const FIRST = ['loss', 'validation', 'learning_rate', 'grad_norm']; // the others on demand
const WIDTH = 560, HEIGHT = 300, LEFT = 66, RIGHT = 12, TOP = 10, BOTTOM = 34, RENEW_MS = 15000, COLOURS = 6;

export function runsView(state) {
  let timer = null;
  const view = h('div', {class: 'stack'}, h('div', {}, h('h1', {}, 'Runs and reports'), h('p', {class: 'lead'}, 'Curves of trainings, renewed while they run, and the pages that evaluations wrote.')));
  const reports = h('ul', {class: 'list'});
  view.append(h('section', {class: 'card stack', 'aria-label': 'Runs'}, h('h2', {}, 'Runs'), ...runsOf()), h('section', {class: 'card stack', 'aria-label': 'Reports'}, h('h2', {}, 'Reports'), reports));
  if (!state.reports.length) reports.append(h('li', {class: 'soft'}, 'No report in the folders given: `kit.py evaluate MODEL --data SET --out REPORT` writes one.'));
  for (const entry of state.reports) reports.append(reportLine(entry));

  function runsOf() {
    if (!state.runs.length) return [h('p', {class: 'soft'}, 'No run in the folders given: `kit.py distill` writes one.')];
    const problem = problemLine(), charts = h('div', {class: 'charts'}), facts = h('p', {class: 'soft'}), links = h('div', {class: 'row'});
    const others = h('div', {class: 'charts'}), more = h('details', {hidden: true}, h('summary', {}, 'More curves'), others);
    const show = async key => {
      clearTimeout(timer);
      try {
        const run = await get('/api/run', {key});
        problem.clear();
        facts.textContent = run.step ? `${count(run.step)} steps so far.` : 'No step is written yet.';
        links.replaceChildren(...run.pages.map(name => opener('run', key, name)));
        const found = panels(run.curves), isFirst = ([title]) => FIRST.includes(title);
        charts.replaceChildren(...found.filter(isFirst).map(panel => chart(...panel)));
        others.replaceChildren(...found.filter(panel => !isFirst(panel)).map(panel => chart(...panel)));
        more.hidden = !others.childElementCount;
        if (run.step && !found.length) facts.textContent += ' Curves begin with the second line.';
      } catch (error) { problem.show(error); }
      timer = setTimeout(() => { if (view.isConnected) show(chosen.box.value); }, RENEW_MS);
    };
    const chosen = select('Run', state.runs.map(run => [run.key, run.name]), state.runs[0].key, show, {id: 'run'});
    show(state.runs[0].key);
    return [chosen.node, facts, links, problem.node, charts, more];
  }

  function reportLine(entry) {
    const about = h('p', {class: 'soft'}, '…'), links = h('div', {class: 'row'});
    get('/api/report', {key: entry.key}).then(found => {
      about.textContent = `${found.models.join(', ')}${found.set ? ` on ${found.set}` : ''}${found.people ? ` (${count(found.people)} people)` : ''}: ${found.protocols.join(', ')}`;
      links.replaceChildren(...found.pages.map(name => opener('report', entry.key, name)));
    }).catch(error => { about.textContent = error.message; about.className = 'problem'; });
    return h('li', {class: 'tile'}, h('h3', {}, entry.name), about, links);
  }
  const opener = (kind, key, name) => h('a', {class: 'button small', href: pageAddress(kind, key, name), target: '_blank', rel: 'noopener'}, name.endsWith('.html') ? `Open ${name}` : name);
  return {node: view, leave: () => clearTimeout(timer)};
}

// Losses together, rates of the validation together, everything else by itself.
function panels(curves) {
  const groups = new Map();
  for (const [name, points] of Object.entries(curves)) {
    if (name === 'epoch') continue; // a straight line
    if (points.every(point => point[1] === points[0][1]) && name.startsWith('validation')) continue; // what it was measured on
    const title = name.startsWith('validation: ') ? 'validation' : /loss|^terms/.test(name) ? 'loss' : name;
    const own = title === 'validation' ? name.slice(12) : name;
    groups.set(title, {...groups.get(title), [own]: points});
  }
  const order = title => FIRST.indexOf(title) + 1 || FIRST.length + 1;
  return [...groups.entries()].sort((a, b) => order(a[0]) - order(b[0]));
}

const words = name => name.replaceAll('_', ' ').replace('terms, ', '');

function ticks(low, high) {
  const rough = (high - low || Math.abs(high) || 1) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
  const first = Math.floor(low / step), last = Math.max(Math.ceil(high / step), first + 1);
  return Array.from({length: last - first + 1}, (_, at) => (first + at) * step);
}

function chart(title, series) {
  const all = Object.values(series).flat();
  const xs = ticks(0, Math.max(...all.map(point => point[0]))), ys = ticks(Math.min(...all.map(point => point[1])), Math.max(...all.map(point => point[1])));
  const x = value => LEFT + (WIDTH - LEFT - RIGHT) * (value - xs[0]) / (xs.at(-1) - xs[0]);
  const y = value => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - ys[0]) / (ys.at(-1) - ys[0]);
  const number = value => Number(value).toLocaleString('en', {maximumSignificantDigits: 4});
  const names = Object.keys(series);
  return h('figure', {class: 'wide'}, h('h3', {}, words(title)),
    svg('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${title} over steps`},
      ys.map(tick => [svg('line', {class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick)}), svg('text', {class: 'tick', x: LEFT - 6, y: y(tick) + 4, 'text-anchor': 'end'}, number(tick))]).flat(),
      xs.map((tick, at) => svg('text', {class: 'tick', x: x(tick), y: HEIGHT - BOTTOM + 16, 'text-anchor': at === xs.length - 1 ? 'end' : 'middle'}, number(tick))),
      svg('text', {class: 'name', x: WIDTH - RIGHT, y: HEIGHT - 3, 'text-anchor': 'end'}, 'step'),
      names.map((name, at) => svg('polyline', {class: `line s${at % COLOURS}`, points: series[name].map(point => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join(' ')}))),
    h('ul', {class: 'key'}, names.map((name, at) => h('li', {}, svg('svg', {viewBox: '0 0 30 10', 'aria-hidden': 'true'}, svg('polyline', {class: `line s${at % COLOURS}`, points: '0,5 30,5'})), `${words(name)}: ${number(series[name].at(-1)[1])}`))));
}
