// Building pages and asking the server. Text from outside becomes text nodes only, never markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'selected') node[name] = value;
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

export const h = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);
export const count = number => Number(number).toLocaleString('en');
export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error('The studio does not answer: is `kit.py studio` still running?');
  }
  const table = await answer.json().catch(() => ({error: `The studio answered with ${answer.status}.`}));
  if (!answer.ok) throw new Error(table.error);
  return table;
}

const address = (path, query) => Object.keys(query).length ? `${path}?${new URLSearchParams(query)}` : path;
export const get = (path, query = {}) => ask(address(path, query), {});
export const post = (path, table) => ask(path, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(table)});
export const upload = (blob, query = {}) =>
  ask(address('/api/photo', query), {method: 'POST', headers: {'Content-Type': 'application/octet-stream'}, body: blob});
export const faceAddress = (key, row) => address('/api/face', {key, row});
export const pageAddress = (kind, key, name) => address('/page', {kind, key, name});

// A line that says what went wrong, read out where it appears.
export function problemLine() {
  const line = h('p', {class: 'problem', role: 'alert', hidden: true});
  return {
    node: line,
    show(error) { line.textContent = error.message || String(error); line.hidden = false; },
    clear() { line.hidden = true; line.textContent = ''; },
  };
}

// Runs the latest of many wishes: while one is on its way, only the newest of the others is kept.
export function latest(work) {
  let running = false, waiting = null;
  return async function wish(...given) {
    if (running) { waiting = given; return; }
    running = true;
    try {
      await work(...given);
      while (waiting) { const next = waiting; waiting = null; await work(...next); }
    } finally { running = false; }
  };
}

export function select(label, entries, value, change, properties = {}) {
  const box = h('select', {...properties, onchange: () => change(box.value)},
    entries.map(([key, text]) => h('option', {value: key, selected: key === value}, text)));
  return {node: h('label', {class: 'field'}, h('span', {}, label), box), box};
}

// Marks a part of the page as busy, for eyes and for readers, as long as any work on it goes on.
export function busyMark(node) {
  let works = 0;
  return async work => {
    works += 1;
    node.setAttribute('aria-busy', 'true');
    try { return await work(); } finally { works -= 1; if (!works) node.removeAttribute('aria-busy'); }
  };
}
