// Face sets: people, their faces with masked twins, and what was skipped.

import {count, faceAddress, get, h, plural, post, problemLine, select, svg} from './dom.js';

export function setsView(state) {
  const problem = problemLine();
  const body = h('div', {class: 'stack'});
  const view = h('div', {class: 'stack'}, h('div', {}, h('h1', {}, 'Face sets'), h('p', {class: 'lead'}, 'People, their faces with the masked twins beside them, and the photographs that gave no face.')), problem.node);
  if (!state.sets.length) {
    view.append(h('p', {class: 'card'}, 'No face set in the folders given. ', h('code', {}, 'kit.py augment PHOTOS SET'), ' makes one; ', h('code', {}, 'kit.py studio SET'), ' shows it.'));
    return {node: view, leave() {}};
  }
  const chosen = select('Face set', state.sets.map(set => [set.key, set.name]), state.sets[0].key, key => open(key), {id: 'set'});
  view.append(h('section', {class: 'card'}, chosen.node), body);
  const said = h('p', {class: 'hint', role: 'status'});
  const guarded = work => async (...given) => { problem.clear(); try { await work(...given); } catch (error) { problem.show(error); } };

  const open = guarded(async key => {
    body.replaceChildren(h('p', {class: 'soft'}, 'Opening the set …'));
    let about;
    try { about = await get('/api/set', {key}); } catch (error) { body.replaceChildren(); throw error; }
    const tiles = [['people', about.people], ['faces', about.faces], ['masked twins', about.twins], ['worn masks', about.masked], ['skipped', about.skipped], ['people without a face', about.without_face]];
    const spread = about.photographs_a_person;
    body.replaceChildren(
      h('section', {class: 'card stack', 'aria-label': 'Counts'}, h('div', {class: 'tiles'}, tiles.map(([name, number]) => h('div', {class: 'tile'}, h('b', {}, count(number)), h('span', {}, name)))),
        h('p', {class: 'soft'}, `Pictures of a person, twins among them: ${count(spread.least)} to ${count(spread.most)}, median ${spread.median}.`),
        about.kinds.length ? h('details', {}, h('summary', {}, 'Drawn masks by look'), bars(about.kinds)) : null,
        about.reasons.length ? h('details', {open: true}, h('summary', {}, 'Skipped photographs'), bars(about.reasons), skipped(key, about.reasons)) : null),
      people(key));
  });

  function bars(rows) {
    const most = Math.max(...rows.map(row => row[1]));
    return h('div', {class: 'bars'}, rows.map(([name, number]) => h('div', {class: 'barline'}, h('span', {}, name.replaceAll('_', ' ')), svg('svg', {viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true'}, svg('rect', {width: 100 * number / most, height: 10})), h('output', {}, count(number)))));
  }

  function pager(found, start, page, go) {
    if (found <= page) return null;
    return h('div', {class: 'row'}, h('button', {type: 'button', class: 'small', disabled: start === 0, onclick: () => go(Math.max(0, start - page))}, 'Before'), h('span', {class: 'soft'}, `${count(start + 1)} to ${count(Math.min(start + page, found))} of ${count(found)}`), h('button', {type: 'button', class: 'small', disabled: start + page >= found, onclick: () => go(start + page)}, 'Next'));
  }

  function skipped(key, reasons) {
    const place = h('div');
    let reason = '';
    const list = guarded(async start => {
      const found = await get('/api/skipped', {key, reason, start});
      place.replaceChildren(h('div', {class: 'scroll', tabindex: 0}, h('table', {}, h('thead', {}, h('tr', {}, ['Photograph', 'Person', 'Reason', 'Detail'].map(name => h('th', {scope: 'col'}, name)))), h('tbody', {}, found.rows.map(row => h('tr', {}, [row.source, row.identity, row.reason.replaceAll('_', ' '), row.detail].map(text => h('td', {}, text))))))), pager(found.found, found.start, found.page, list) ?? '');
    });
    const choice = select('Reason', [['', 'all'], ...reasons.map(([name]) => [name, name.replaceAll('_', ' ')])], '', value => { reason = value; list(0); });
    const inner = h('details', {ontoggle: () => { if (inner.open && !place.childElementCount) list(0); }}, h('summary', {}, 'List them'), choice.node, place);
    return inner;
  }

  function people(key) {
    const grid = h('div', {class: 'people'}), pages = h('div'), one = h('div', {id: 'person'});
    const search = h('input', {type: 'search', id: 'search', placeholder: 'part of a name', oninput: () => list(0)});
    let asked = 0;
    const list = guarded(async start => {
      const own = ++asked;
      const found = await get('/api/people', {key, search: search.value, start});
      if (own !== asked) return;
      grid.replaceChildren(...found.people.map(person => h('button', {type: 'button', class: 'person', onclick: () => show(person.code)}, h('img', {src: faceAddress(key, person.row), alt: '', loading: 'lazy'}), person.name, h('small', {}, `${plural(person.faces, 'face', 'faces')}${person.twins ? `, ${plural(person.twins, 'twin', 'twins')}` : ''}`))));
      if (!found.people.length) grid.replaceChildren(h('p', {class: 'soft'}, 'Nobody has such a name.'));
      pages.replaceChildren(pager(found.found, found.start, found.page, list) ?? '');
    });
    const show = guarded(async code => {
      const found = await get('/api/person', {key, code});
      one.replaceChildren(h('section', {class: 'card stack', 'aria-label': found.name}, h('div', {class: 'row spread'}, h('h2', {}, found.name), h('button', {type: 'button', class: 'small', onclick: () => one.replaceChildren()}, 'Close')), said,
        h('div', {class: 'groups'}, found.faces.map(group => h('div', {class: 'group'}, group.map(face => picture(key, face))))), found.left_out ? h('p', {class: 'soft'}, `${count(found.left_out)} more are not shown.`) : null));
      one.scrollIntoView({block: 'nearest'});
    });
    list(0);
    return h('section', {class: 'card stack', 'aria-label': 'People'}, h('h2', {}, 'People'), h('label', {class: 'field'}, h('span', {}, 'Search'), search), one, grid, pages);
  }

  function picture(key, face) {
    const what = face.twin ? `twin, ${face.kind}` : face.masked ? 'worn mask' : face.score < 1 ? `detector ${face.score}` : 'bare';
    return h('figure', {}, h('img', {src: faceAddress(key, face.row), alt: `${face.source}, ${what}`, loading: 'lazy'}), h('figcaption', {title: face.source}, what, h('br'), h('small', {}, face.source)),
      h('div', {class: 'row'}, face.masked ? null : button('Mask', 'masks', key, face.row), button('A', 'a', key, face.row), button('B', 'b', key, face.row)));
  }
  function button(text, slot, key, row) {
    const label = slot === 'masks' ? 'Try masks on this face' : `Compare this face, as ${text}`;
    return h('button', {type: 'button', class: 'small', title: label, 'aria-label': label, onclick: guarded(async () => {
      state.handed[slot] = await post('/api/take', {set: key, row});
      if (slot === 'masks' || (state.handed.a && state.handed.b)) location.hash = slot === 'masks' ? '#masks' : '#compare';
      else said.textContent = `This face is ${text}: now choose the other one.`;
    })}, text);
  }
  open(state.sets[0].key);
  return {node: view, leave() {}};
}
