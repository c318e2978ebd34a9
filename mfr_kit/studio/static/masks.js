// Masks on a photograph: what it is, how it is worn, what it is made of, how the head is turned.

import {h, latest, post, problemLine, select} from './dom.js';
import {photoPicker} from './photo.js';

const GROUPS = [
  ['How it is worn', true, {top: 'upper edge', bottom: 'lower edge', width: 'width', shift: 'sideways', tilt_deg: 'tilt'}],
  ['Head', true, {yaw: 'yaw', pitch: 'pitch', roll: 'roll'}],
  ['Cloth and light', false, {relief: 'folds', crumple: 'crumple', shadow: 'shadow', softness: 'soft edge', dirt: 'stains', hue: 'hue', saturation: 'saturation', value: 'brightness'}],
];
const UNITS = {degrees: '°', mm: ' mm', pixels: ' px'};
const STYLES = {right: 'right', under_nose: 'under the nose', under_chin: 'under the chin', askew: 'askew'};
const ANGLES = ['yaw', 'pitch', 'roll'];

export function masksView(state) {
  const wish = {kind: 'surgical', look: 'surgical-blue', style: 'right', seed: 1, changes: {}, angles: null};
  const problem = problemLine();
  const picker = photoPicker('Photograph', held => { wish.angles = null; showAngles(held.angles); return draw(); });
  const crop = h('img', {class: 'crop roomy', alt: 'The aligned face, as a model sees it', hidden: true});
  const said = h('p', {class: 'soft roomy'});
  const without = h('input', {type: 'checkbox', onchange: draw});
  const save = h('a', {class: 'button', download: 'masked.jpg', hidden: true}, 'Save picture');
  const looks = h('div', {class: 'looks', role: 'group', 'aria-label': 'Look'});
  const colours = h('div');
  const sliders = {};

  function asked() { return {look: wish.look, seed: wish.seed, style: wish.style, changes: wish.changes}; }
  const render = latest(async () => {
    const held = picker.held;
    if (!held) return;
    try {
      const drawn = await post('/api/mask', {photo: held.photo, mask: asked(), ...(wish.angles && !held.drawn ? {angles: wish.angles} : {})});
      problem.clear();
      const bare = without.checked;
      picker.show(bare ? held.image : drawn.image);
      crop.src = bare ? held.face : drawn.face; crop.hidden = false;
      save.href = bare ? held.image : drawn.image; save.hidden = false;
      showParameters(drawn.parameters);
      describe(held);
    } catch (error) { problem.show(error); }
  });
  function draw() { return picker.busy(render); }
  picker.onlive = held => { showAngles(held.angles); return render(); };

  function describe(held) {
    const angles = ANGLES.map(name => `${name} ${Math.round(held.angles[name]) + 0}°`).join(', ');
    said.replaceChildren(`${held.width} × ${held.height} pixels. The head as its landmarks say: ${angles}.`, held.drawn || held.score === 1 ? '' : ` Detector: ${held.score.toFixed(2)}.`, held.note ? ` ${held.note}.` : '');
  }
  function showAngles(angles) { for (const name of ANGLES) sliders[name].set(Math.round(angles[name] * 10) / 10, false); }
  function showParameters(values) {
    const [hue, saturation, value] = values.tone;
    for (const [name, number] of Object.entries({...values, hue, saturation, value})) if (sliders[name]) sliders[name].set(number, name in wish.changes);
    colours.replaceChildren(...['base', 'print', 'trim'].filter(part => values[part] && values[part][0] >= 0).map(part => colour(part, values[part])));
  }
  function colour(part, rgb) {
    const id = `colour-${part}`;
    const box = h('input', {type: 'color', id, value: '#' + rgb.map(channel => channel.toString(16).padStart(2, '0')).join(''), onchange: () => { wish.changes[part] = box.value; draw(); }});
    return h('div', {class: `slider${part in wish.changes ? ' changed' : ''}`}, h('label', {for: id}, `${part} colour`), box, h('output', {}, box.value));
  }
  function slider(name, label) {
    const span = state.sliders[name], id = `slider-${name}`;
    const wide = span.high - span.low > 20;
    const out = h('output', {for: id});
    const box = h('input', {type: 'range', id, min: span.low, max: span.high, step: wide ? 0.5 : 0.01, oninput: () => change(name, Number(box.value))});
    const line = h('div', {class: 'slider'}, h('label', {for: id}, label), box, out);
    sliders[name] = {set(number, isChanged) { if (document.activeElement !== box) box.value = number; out.textContent = `${number.toFixed(wide ? 1 : 2)}${UNITS[span.unit] ?? ''}`; line.classList.toggle('changed', isChanged); }};
    return line;
  }
  const turnHead = latest(async () => {
    const held = picker.held;
    const next = await post('/api/head', {...wish.angles, person: held.drawn.person, replaces: held.photo});
    picker.held = {...next, drawn: held.drawn};
    await render();
  });
  function change(name, number) {
    sliders[name].set(number, true);
    if (!ANGLES.includes(name)) { wish.changes[name] = number; draw(); return; }
    wish.angles = Object.fromEntries(ANGLES.map(angle => [angle, Number(document.getElementById(`slider-${angle}`).value)]));
    if (picker.held?.drawn) picker.busy(turnHead).catch(problem.show); else draw();
  }
  function reset() {
    wish.changes = {}; wish.angles = null;
    if (picker.held?.drawn) picker.drawHead(picker.held.drawn);
    else if (picker.held) { showAngles(picker.held.angles); draw(); }
  }
  function showLooks() {
    const kind = state.kinds.find(entry => entry.kind === wish.kind);
    if (!kind.looks.includes(wish.look)) wish.look = kind.looks[0];
    if (wish.style && !kind.styles.includes(wish.style)) wish.style = kind.styles[0];
    style.box.replaceChildren(h('option', {value: '', selected: !wish.style}, 'as drawn'), ...kind.styles.map(name => h('option', {value: name, selected: name === wish.style}, STYLES[name] ?? name)));
    looks.replaceChildren(...kind.looks.map(name => h('button', {type: 'button', class: 'look', 'aria-pressed': String(name === wish.look), onclick: () => { wish.look = name; forget(); showLooks(); draw(); }},
      h('img', {src: `/api/thumbnail?look=${encodeURIComponent(name)}`, alt: '', loading: 'lazy'}), name)));
  }
  // what was moved by hand holds for one look: another has other edges and colours
  function forget() { wish.changes = {}; }
  const kind = select('Kind', state.kinds.map(entry => [entry.kind, entry.kind.replace('_', ' ')]), wish.kind, value => { wish.kind = value; forget(); showLooks(); draw(); }, {id: 'kind'});
  const style = select('Worn', [], wish.style, value => { wish.style = value; forget(); draw(); }, {id: 'style'});

  const view = h('div', {},
    h('h1', {}, 'Masks'), h('p', {class: 'lead'}, 'The masks of the library, as training and evaluation draw them, on a photograph of yours.'),
    h('div', {class: 'bench'},
      h('section', {class: 'card stage', 'aria-label': 'Photograph'}, picker.picture, picker.problem.node, problem.node,
        picker.buttons,
        h('div', {class: 'facts'}, crop, h('div', {}, said, h('div', {class: 'row'}, save, h('label', {class: 'row soft'}, without, 'without mask'))))),
      h('section', {class: 'card stack', 'aria-label': 'Mask'},
        h('div', {class: 'two tight'}, kind.node, style.node), looks,
        h('div', {class: 'row'}, h('button', {type: 'button', onclick: () => { wish.seed = Math.floor(Math.random() * 2 ** 31); forget(); draw(); }}, 'Draw another'), h('button', {type: 'button', onclick: reset}, 'Reset sliders')),
        h('div', {}, GROUPS.map(([title, isOpen, names]) => h('details', {open: isOpen}, h('summary', {}, title), Object.entries(names).map(([name, label]) => slider(name, label)), title.startsWith('Cloth') ? colours : null))))));
  showLooks();
  if (state.handed?.masks) { const held = state.handed.masks; state.handed.masks = null; picker.take(held); }
  else picker.drawHead({person: 0, yaw: 15});
  return {node: view, leave: () => picker.stop()};
}
