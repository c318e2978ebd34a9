// Two photographs under two models, bare and masked, against the models' thresholds.

import {busyMark, h, latest, post, problemLine, select, svg} from './dom.js';
import {photoPicker} from './photo.js';

const LEAST = -0.2; // the left end of the scale of cosines

export function compareView(state) {
  const wish = {models: [state.models[0]?.key ?? '', state.models[1]?.key ?? ''], far: '', masks: {a: ['surgical-blue', 1], b: ['cloth-plain', 2]}};
  const problem = problemLine();
  const results = h('div', {class: 'stack', 'aria-live': 'polite', id: 'results'});
  let answer = null;

  const sides = Object.fromEntries(['a', 'b'].map(side => [side, makeSide(side)]));
  function makeSide(side) {
    const name = `Photograph ${side.toUpperCase()}`;
    const picker = photoPicker(name, () => compare());
    const looks = state.kinds.flatMap(kind => kind.looks);
    const mask = select('Its mask', looks.map(look => [look, look]), wish.masks[side][0], look => { wish.masks[side][0] = look; compare(); }, {id: `mask-${side}`});
    const again = h('button', {type: 'button', onclick: () => { wish.masks[side][1] = Math.floor(Math.random() * 2 ** 31); compare(); }}, 'Draw another');
    return {picker, node: h('section', {class: 'card stack side', 'aria-label': name, id: `side-${side}`}, h('h2', {}, name), picker.picture, picker.problem.node, picker.buttons, h('div', {class: 'row end'}, mask.node, again))};
  }
  const models = [0, 1].map(at => select(`Model ${at + 1}`, [...(at ? [['', 'none']] : []), ...state.models.map(model => [model.key, model.name])], wish.models[at], key => { wish.models[at] = key; compare(); }, {id: `model-${at + 1}`}));
  const far = select('False-accept rate of the threshold', [['', 'no threshold known']], '', value => { wish.far = value; show(); }, {id: 'far'});

  const score = latest(async () => {
    const [a, b] = [sides.a.picker.held, sides.b.picker.held];
    if (!a || !b) { hint(); return; }
    const wanted = [...new Set(wish.models.filter(Boolean))];
    if (!wanted.length) { results.replaceChildren(h('p', {class: 'hint'}, 'No model can be chosen: start the studio with --model, or fetch one with `kit.py assets fetch`.')); return; }
    try {
      const worn = ([look, seed]) => ({look, seed, style: state.kinds.find(kind => kind.looks.includes(look)).styles[0]});
      answer = await post('/api/compare', {a: a.photo, b: b.photo, models: wanted, mask_a: worn(wish.masks.a), mask_b: worn(wish.masks.b)});
      problem.clear();
      offerRates();
      show();
    } catch (error) { problem.show(error); }
  });
  const busy = busyMark(results);
  function compare() { return busy(score); }
  function hint() { results.replaceChildren(h('p', {class: 'soft'}, 'Choose two photographs: their faces are compared bare, with a mask on one, and with masks on both.')); }

  function offerRates() {
    const rates = [...new Set(answer.models.flatMap(model => (model.pairs ?? []).flatMap(pair => pair.points.map(point => point.far))))].sort((x, y) => y - x);
    if (!rates.map(String).includes(wish.far)) wish.far = String(rates.find(rate => rate <= 1e-3) ?? rates.at(-1) ?? '');
    far.box.replaceChildren(...(rates.length ? rates.map(rate => h('option', {value: String(rate), selected: String(rate) === wish.far}, `${rate}`)) : [h('option', {value: ''}, 'no threshold known')]));
    far.box.disabled = !rates.length;
  }
  function show() { if (answer) results.replaceChildren(h('div', {class: 'verdicts'}, answer.models.map(card))); }
  function card(model) {
    const name = state.models.find(entry => entry.key === model.key)?.name ?? model.name;
    if (model.error) return h('section', {class: 'card'}, h('h2', {}, name), h('p', {class: 'problem', role: 'alert'}, model.error));
    const points = model.pairs.flatMap(pair => pair.points);
    return h('section', {class: 'card', 'data-model': name}, h('h2', {title: model.key.replace('spec ', '')}, name),
      model.pairs.map(pairRow), points.length ? source(points.filter(point => String(point.far) === wish.far)) : h('p', {class: 'hint'}, 'No threshold of this model is known. Measure it with `kit.py evaluate` and give the report’s folder to the studio, or export it with --report.'));
  }
  function source(points) {
    if (!points.length) return h('p', {class: 'hint'}, 'This model was not measured at this false-accept rate.');
    const known = [...new Set(points.map(point => `${point.source}, measured on ${point.set}${point.mirrored ? ', mirror image added' : ''}`))];
    return h('p', {class: 'soft'}, `Thresholds: ${known.join('; ')}.`);
  }
  const wears = face => (face.endsWith('masked') ? 'masked' : 'bare');
  function pairRow(pair) {
    const point = pair.points.find(entry => String(entry.far) === wish.far);
    const score = point ? point.score : pair.score;
    const verdict = !point ? 'no threshold' : point.accepted ? 'same person' : 'different people';
    const tone = !point ? '' : point.accepted ? 'yes' : 'no';
    return h('div', {class: 'pair', 'data-a': pair.a, 'data-b': pair.b},
      h('span', {class: 'faces'}, [pair.a, pair.b].map(face => h('img', {src: answer.faces[face], alt: face}))),
      h('span', {class: 'score'}, `cosine ${score.toFixed(3)}`), h('span', {class: `verdict ${tone}`}, verdict), scale(score, point, tone),
      h('small', {}, `A ${wears(pair.a)}, B ${wears(pair.b)}${point ? `. Threshold ${point.threshold.toFixed(3)}: accepts ${(100 * point.tar).toFixed(1)} % of one person’s pairs (${point.protocol})` : ''}`));
  }
  function scale(score, point, tone) {
    const place = value => `${2 + 96 * (Math.min(Math.max(value, LEAST), 1) - LEAST) / (1 - LEAST)}%`;
    return svg('svg', {role: 'img', 'aria-label': `cosine ${score.toFixed(3)}${point ? `, threshold ${point.threshold.toFixed(3)}` : ''}`},
      svg('line', {class: 'axis', x1: '2%', x2: '98%', y1: 9, y2: 9}),
      [0, 0.5, 1].map(value => svg('text', {class: 'tick', x: place(value), y: 26, 'text-anchor': 'middle'}, String(value))),
      point ? svg('line', {class: 'mark', x1: place(point.threshold), x2: place(point.threshold), y1: 0, y2: 18}) : null,
      svg('circle', {class: `here ${tone}`, cx: place(score), cy: 9, r: 6.5}));
  }

  hint();
  const view = h('div', {class: 'stack'},
    h('div', {}, h('h1', {}, 'Compare'), h('p', {class: 'lead'}, 'Are two photographs of one person? The score of each model, and what its threshold makes of it, bare and masked.')),
    h('div', {class: 'two'}, sides.a.node, sides.b.node),
    h('section', {class: 'card choices', 'aria-label': 'Models'}, models[0].node, models[1].node, far.node), problem.node, results);
  for (const side of ['a', 'b']) if (state.handed?.[side]) { sides[side].picker.take(state.handed[side]); }
  return {node: view, leave: () => { for (const side of ['a', 'b']) { sides[side].picker.stop(); if (sides[side].picker.held) state.handed[side] = sides[side].picker.held; } }};
}
