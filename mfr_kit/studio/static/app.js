// The page's sections, one at a time, by the address's hash.

import {get, h} from './dom.js';
import {compareView} from './compare.js';
import {masksView} from './masks.js';
import {runsView} from './runs.js';
import {setsView} from './sets.js';

const VIEWS = {masks: masksView, compare: compareView, sets: setsView, runs: runsView};
const main = document.getElementById('main');
const handed = {}; // photographs that one section gives another
let open = null, turns = 0;

async function show() {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : 'masks';
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  const turn = ++turns; // who goes on while this one loads wins
  open?.leave();
  open = null;
  try {
    const state = {...await get('/api/state'), handed};
    if (turn !== turns) return;
    document.getElementById('version').textContent = `MFR Kit ${state.version}. ${state.note}`;
    open = VIEWS[name](state);
    main.replaceChildren(open.node);
    main.dataset.view = name;
  } catch (error) {
    if (turn === turns) main.replaceChildren(h('p', {class: 'problem', role: 'alert'}, error.message));
  }
}

window.addEventListener('hashchange', show);
show();
